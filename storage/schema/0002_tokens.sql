-- Who is let in. Of a secret only its SHA-256 is kept: with 256 random bits there is nothing to
-- guess.
CREATE TABLE tokens (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  name          TEXT NOT NULL,
  role          TEXT NOT NULL CHECK (role IN ('read', 'submit', 'admin', 'worker')),
  secret_sha256 TEXT NOT NULL,
  worker_id     TEXT,                     -- the only worker that may use it; NULL before it has
  created_us    INTEGER NOT NULL,
  revoked_us    INTEGER
) STRICT;
-- A worker is known by one token.
CREATE UNIQUE INDEX tokens_by_worker ON tokens (worker_id)
  WHERE worker_id IS NOT NULL AND revoked_us IS NULL;
