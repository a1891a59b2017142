-- Times are microseconds since 1970, UTC. States are text, so that a person with sqlite3 can read
-- them.

CREATE TABLE sweeps (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  request_id  TEXT NOT NULL UNIQUE,
  name        TEXT NOT NULL,
  priority    INTEGER NOT NULL CHECK (priority BETWEEN -1000 AND 1000),
  source_yaml TEXT NOT NULL,
  created_us  INTEGER NOT NULL,
  ended_us    INTEGER                     -- NULL while a run is pending or running
) STRICT;
CREATE INDEX sweeps_by_name ON sweeps (name, id);

-- What is computed, once for each key, and what that asks of a machine.
CREATE TABLE specs (
  key          TEXT PRIMARY KEY,          -- SHA-256 of json
  json         TEXT NOT NULL,             -- canonical
  model        TEXT NOT NULL,             -- whose trained weights the machine needs; '' for none
  dataset      TEXT NOT NULL,
  weights_key  TEXT NOT NULL,             -- the run that produces model.weights; '' for none
  memory_bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE runs (
  id                INTEGER PRIMARY KEY AUTOINCREMENT,
  sweep_id          INTEGER NOT NULL REFERENCES sweeps (id),
  name              TEXT NOT NULL,
  key               TEXT NOT NULL REFERENCES specs (key),
  state             TEXT NOT NULL
                    CHECK (state IN ('pending', 'running', 'succeeded', 'failed', 'cancelled')),
  attempt           INTEGER NOT NULL DEFAULT 0,   -- the last one's number
  step              INTEGER NOT NULL DEFAULT 0,
  total_steps       INTEGER NOT NULL DEFAULT 0,
  resource_failures INTEGER NOT NULL DEFAULT 0,
  machine_faults    INTEGER NOT NULL DEFAULT 0,
  blame             TEXT CHECK (blame IN ('config', 'resources', 'machine', 'control_plane')),
  error             TEXT NOT NULL DEFAULT '',
  reused_run_id     INTEGER REFERENCES runs (id), -- the run whose result this is
  started_us        INTEGER,
  ended_us          INTEGER,
  UNIQUE (sweep_id, name)
) STRICT;
CREATE INDEX runs_by_sweep ON runs (sweep_id, id);

CREATE TABLE workers (
  id           TEXT PRIMARY KEY,
  info_json    TEXT NOT NULL,             -- WorkerInfo of its last hello
  last_seen_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE attempts (
  run_id       INTEGER NOT NULL REFERENCES runs (id),
  number       INTEGER NOT NULL CHECK (number > 0),
  worker_id    TEXT NOT NULL REFERENCES workers (id),
  started_us   INTEGER NOT NULL,
  ended_us     INTEGER,
  resume_step  INTEGER NOT NULL,
  acked_offset INTEGER NOT NULL DEFAULT 0,  -- bytes of its events.log that are stored here
  outcome      TEXT NOT NULL DEFAULT 'running'
               CHECK (outcome IN ('running', 'succeeded', 'failed', 'lost', 'released',
                                  'cancelled')),
  blame        TEXT CHECK (blame IN ('config', 'resources', 'machine', 'control_plane')),
  error        TEXT NOT NULL DEFAULT '',
  log_tail     TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (run_id, number)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX attempts_live ON attempts (run_id) WHERE outcome = 'running';

-- One value for each run, metric and step.
CREATE TABLE metrics (
  run_id  INTEGER NOT NULL REFERENCES runs (id),
  name    TEXT NOT NULL,
  step    INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  value   REAL,                           -- NULL: not a number
  PRIMARY KEY (run_id, name, step)
) STRICT, WITHOUT ROWID;

-- What dead attempts had measured past the checkpoint their run went on from.
CREATE TABLE superseded_metrics (
  run_id  INTEGER NOT NULL REFERENCES runs (id),
  name    TEXT NOT NULL,
  step    INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  value   REAL,
  PRIMARY KEY (run_id, name, step, attempt)
) STRICT, WITHOUT ROWID;

CREATE TABLE results (
  run_id            INTEGER PRIMARY KEY REFERENCES runs (id),
  quantization_json TEXT NOT NULL DEFAULT '',
  result_json       TEXT NOT NULL DEFAULT '',  -- RunResult; what a run that is not succeeded has
                                               -- here comes from an attempt that did not end well
  best_json         TEXT NOT NULL DEFAULT '',  -- its best Evaluation, without the confusion matrix
  attempt           INTEGER NOT NULL DEFAULT 0 -- that reported the result
) STRICT;

CREATE TABLE history (
  id      INTEGER PRIMARY KEY,
  run_id  INTEGER NOT NULL REFERENCES runs (id),
  attempt INTEGER NOT NULL,
  at_us   INTEGER NOT NULL,
  text    TEXT NOT NULL
) STRICT;
CREATE INDEX history_by_run ON history (run_id, id);

CREATE TABLE logs (
  id      INTEGER PRIMARY KEY,
  run_id  INTEGER NOT NULL REFERENCES runs (id),
  attempt INTEGER NOT NULL,
  at_us   INTEGER NOT NULL,               -- the trainer's clock
  level   TEXT NOT NULL,
  text    TEXT NOT NULL
) STRICT;
CREATE INDEX logs_by_run ON logs (run_id, id);

-- A row here means: the file is in the store, whole. A file that nothing refers to is deleted.
CREATE TABLE artifacts (
  sha256 TEXT PRIMARY KEY,
  bytes  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE artifact_refs (
  run_id  INTEGER NOT NULL REFERENCES runs (id),
  role    TEXT NOT NULL CHECK (role IN ('upload', 'checkpoint', 'product')),
  name    TEXT NOT NULL,                  -- upload: the hash; else as in the attempt directory
  step    INTEGER NOT NULL,               -- of a checkpoint, else 0
  sha256  TEXT NOT NULL REFERENCES artifacts (sha256),
  PRIMARY KEY (run_id, role, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX artifact_refs_by_content ON artifact_refs (sha256);
