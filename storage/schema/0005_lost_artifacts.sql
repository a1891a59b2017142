-- 1: its file is damaged or gone. The row of a product is kept all the same, so that the file can be
-- put back and everybody knows that the run has to compute it again.
ALTER TABLE artifacts ADD COLUMN lost INTEGER NOT NULL DEFAULT 0 CHECK (lost IN (0, 1));
