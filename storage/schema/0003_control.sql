-- What people have asked for, and what was learnt about machines, across a restart.

ALTER TABLE runs ADD COLUMN paused INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1));
ALTER TABLE runs ADD COLUMN not_before_us INTEGER;             -- the end of its back-off
ALTER TABLE runs ADD COLUMN avoided TEXT NOT NULL DEFAULT '';  -- ids of workers, a space between
ALTER TABLE attempts ADD COLUMN memory_bytes INTEGER NOT NULL DEFAULT 0;  -- that it may use
ALTER TABLE workers ADD COLUMN draining INTEGER NOT NULL DEFAULT 0 CHECK (draining IN (0, 1));
ALTER TABLE workers ADD COLUMN faults INTEGER NOT NULL DEFAULT 0;  -- in a row
ALTER TABLE workers ADD COLUMN rests_until_us INTEGER;             -- in quarantine

-- What finished runs have measured, by kind of run (common/spec/kind.h), to predict the next ones.
CREATE TABLE measurements (
  kind         TEXT NOT NULL,
  worker_id    TEXT NOT NULL REFERENCES workers (id),
  micro_batch  INTEGER NOT NULL,
  peak_bytes   INTEGER NOT NULL,          -- resident, of the whole trainer
  estimated_bytes INTEGER NOT NULL,       -- what had been expected for this micro-batch
  images_per_s REAL NOT NULL,             -- over all the run, evaluations too
  at_us        INTEGER NOT NULL,
  PRIMARY KEY (kind, worker_id, micro_batch)
) STRICT, WITHOUT ROWID;
ALTER TABLE specs ADD COLUMN kind TEXT NOT NULL DEFAULT '';    -- '': stored before kinds were
