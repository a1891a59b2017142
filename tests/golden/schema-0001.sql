-- A database of 0.1.0 (schema 1), made by
-- schema.sh beside this file: two runs that ended well and two that wait.
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE sweeps (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  request_id  TEXT NOT NULL UNIQUE,
  name        TEXT NOT NULL,
  priority    INTEGER NOT NULL CHECK (priority BETWEEN -1000 AND 1000),
  source_yaml TEXT NOT NULL,
  created_us  INTEGER NOT NULL,
  ended_us    INTEGER                     -- NULL while a run is pending or running
) STRICT;
INSERT INTO sweeps VALUES(1,'content-3b9a1b0acfeb9370aad930fe6db3fec4225d4f4bad08fdc143fac9294885ceea','golden',0,replace('name: golden\nmodel: {name: vit_mini_patch4_28, pretrained: false}\ndataset: {name: fashion_mnist, train_limit: 256, eval_limit: 128, batch_size: 64}\ntraining: {method: full, num_epochs: 1, learning_rate: 1e-3}\nmatrix:\n  seed: [1, 2]\n','\n',char(10)),1795576982917015,1795577106196979);
INSERT INTO sweeps VALUES(2,'submit-8cc623039b94faf4e8c36313447768e6','golden-lora',0,replace('name: golden-lora\nmodel: {name: vit_mini_patch4_28, pretrained: false}\ndataset: {name: fashion_mnist, train_limit: 256, eval_limit: 128, batch_size: 64}\ntraining: {method: lora, num_epochs: 1, learning_rate: 1e-3}\nmatrix:\n  seed: [1, 2]\n','\n',char(10)),1795577108549020,NULL);
CREATE TABLE specs (
  key          TEXT PRIMARY KEY,          -- SHA-256 of json
  json         TEXT NOT NULL,             -- canonical
  model        TEXT NOT NULL,             -- whose trained weights the machine needs; '' for none
  dataset      TEXT NOT NULL,
  weights_key  TEXT NOT NULL,             -- the run that produces model.weights; '' for none
  memory_bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO specs VALUES('112f8a110c0d037ffb75a27ccb05d10334a21b060c53d1a07c6f466dc87e3894','{"model":{"name":"vit_mini_patch4_28","pretrained":false},"dataset":{"name":"fashion_mnist","batch_size":64,"image_size":28,"train_limit":256,"eval_limit":128},"training":{"method":"full","learning_rate":0.001,"num_epochs":1},"seed":1}','','fashion_mnist','',277326024);
INSERT INTO specs VALUES('63391cdf3968d6e8f2cdea31b943824cd6df76901e6796231d0ed0040f8b038a','{"model":{"name":"vit_mini_patch4_28","pretrained":false},"dataset":{"name":"fashion_mnist","batch_size":64,"image_size":28,"train_limit":256,"eval_limit":128},"training":{"learning_rate":0.001,"num_epochs":1},"seed":2}','','fashion_mnist','',272668872);
INSERT INTO specs VALUES('787917d3477e2851f91ebf330e70b5699269fca4f013042f5430fe8120a88280','{"model":{"name":"vit_mini_patch4_28","pretrained":false},"dataset":{"name":"fashion_mnist","batch_size":64,"image_size":28,"train_limit":256,"eval_limit":128},"training":{"method":"full","learning_rate":0.001,"num_epochs":1},"seed":2}','','fashion_mnist','',277326024);
INSERT INTO specs VALUES('e3b8dd7ee777ca6cecbc95f1617fa8fcd65cc8221deeec06948d79724b9742c5','{"model":{"name":"vit_mini_patch4_28","pretrained":false},"dataset":{"name":"fashion_mnist","batch_size":64,"image_size":28,"train_limit":256,"eval_limit":128},"training":{"learning_rate":0.001,"num_epochs":1},"seed":1}','','fashion_mnist','',272668872);
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
INSERT INTO runs VALUES(1,1,'vit_mini_patch4_28-fashion_mnist-full-fp32-s1','112f8a110c0d037ffb75a27ccb05d10334a21b060c53d1a07c6f466dc87e3894','succeeded',1,4,4,0,0,NULL,'',NULL,1795576990385686,1795577078231124);
INSERT INTO runs VALUES(2,1,'vit_mini_patch4_28-fashion_mnist-full-fp32-s2','787917d3477e2851f91ebf330e70b5699269fca4f013042f5430fe8120a88280','succeeded',1,4,4,0,0,NULL,'',NULL,1795577078231124,1795577106196979);
INSERT INTO runs VALUES(3,2,'vit_mini_patch4_28-fashion_mnist-r8-fp32-s1','e3b8dd7ee777ca6cecbc95f1617fa8fcd65cc8221deeec06948d79724b9742c5','pending',0,0,0,0,0,NULL,'',NULL,NULL,NULL);
INSERT INTO runs VALUES(4,2,'vit_mini_patch4_28-fashion_mnist-r8-fp32-s2','63391cdf3968d6e8f2cdea31b943824cd6df76901e6796231d0ed0040f8b038a','pending',0,0,0,0,0,NULL,'',NULL,NULL,NULL);
CREATE TABLE workers (
  id           TEXT PRIMARY KEY,
  info_json    TEXT NOT NULL,             -- WorkerInfo of its last hello
  last_seen_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO workers VALUES('c705558202954404c70edfeab0ae3776','{"id":"c705558202954404c70edfeab0ae3776","name":"vm","version":"0.1.0","slots":1,"cores":2,"memory_bytes":"25276502016","instruction_sets":["avx2","avx512","avx512_bf16","avx512_vnni"],"datasets":["fashion_mnist"],"protocol":1}',1795576990385686);
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
INSERT INTO attempts VALUES(1,1,'c705558202954404c70edfeab0ae3776',1795576990385686,1795577078231124,0,3296,'succeeded',NULL,'','');
INSERT INTO attempts VALUES(2,1,'c705558202954404c70edfeab0ae3776',1795577078231124,1795577106196979,0,3297,'succeeded',NULL,'','');
CREATE TABLE metrics (
  run_id  INTEGER NOT NULL REFERENCES runs (id),
  name    TEXT NOT NULL,
  step    INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  value   REAL,                           -- NULL: not a number
  PRIMARY KEY (run_id, name, step)
) STRICT, WITHOUT ROWID;
INSERT INTO metrics VALUES(1,'eval/loss',4,1,2.1723987046075690088);
INSERT INTO metrics VALUES(1,'eval/macro_f1',4,1,0.066502463054187194169);
INSERT INTO metrics VALUES(1,'eval/macro_precision',4,1,0.043495934959349592807);
INSERT INTO metrics VALUES(1,'eval/macro_recall',4,1,0.16470588235294117418);
INSERT INTO metrics VALUES(1,'eval/top1',4,1,0.1875);
INSERT INTO metrics VALUES(1,'eval/top5',4,1,0.7421875);
INSERT INTO metrics VALUES(1,'gradient_norm',4,1,2.2153350763116068655);
INSERT INTO metrics VALUES(1,'gradient_norm/blocks.0/max',4,1,1.5153651614874166231);
INSERT INTO metrics VALUES(1,'gradient_norm/blocks.0/mean',4,1,0.98538832856254576775);
INSERT INTO metrics VALUES(1,'gradient_norm/blocks.0/min',4,1,0.4182315075722286557);
INSERT INTO metrics VALUES(1,'gradient_norm/blocks.0/std',4,1,0.45429775520076248751);
INSERT INTO metrics VALUES(1,'gradient_norm/blocks.1/max',4,1,1.1817073307418357597);
INSERT INTO metrics VALUES(1,'gradient_norm/blocks.1/mean',4,1,0.67301528459026049855);
INSERT INTO metrics VALUES(1,'gradient_norm/blocks.1/min',4,1,0.27692298520004166029);
INSERT INTO metrics VALUES(1,'gradient_norm/blocks.1/std',4,1,0.39217976633991985524);
INSERT INTO metrics VALUES(1,'gradient_norm/blocks.2/max',4,1,0.98754405173121051486);
INSERT INTO metrics VALUES(1,'gradient_norm/blocks.2/mean',4,1,0.55723313968642207427);
INSERT INTO metrics VALUES(1,'gradient_norm/blocks.2/min',4,1,0.24620469740444847484);
INSERT INTO metrics VALUES(1,'gradient_norm/blocks.2/std',4,1,0.33220184489967174989);
INSERT INTO metrics VALUES(1,'gradient_norm/blocks.3/max',4,1,0.95602950413486675884);
INSERT INTO metrics VALUES(1,'gradient_norm/blocks.3/mean',4,1,0.52053113105955728379);
INSERT INTO metrics VALUES(1,'gradient_norm/blocks.3/min',4,1,0.22913101226373366881);
INSERT INTO metrics VALUES(1,'gradient_norm/blocks.3/std',4,1,0.33400501033159979424);
INSERT INTO metrics VALUES(1,'gradient_norm/blocks.4/max',4,1,0.87905291221785430977);
INSERT INTO metrics VALUES(1,'gradient_norm/blocks.4/mean',4,1,0.49021733381511534144);
INSERT INTO metrics VALUES(1,'gradient_norm/blocks.4/min',4,1,0.2195852235902364391);
INSERT INTO metrics VALUES(1,'gradient_norm/blocks.4/std',4,1,0.30703080638716950812);
INSERT INTO metrics VALUES(1,'gradient_norm/blocks.5/max',4,1,0.9008311071928633007);
INSERT INTO metrics VALUES(1,'gradient_norm/blocks.5/mean',4,1,0.4871439836167801296);
INSERT INTO metrics VALUES(1,'gradient_norm/blocks.5/min',4,1,0.20870916844055886762);
INSERT INTO metrics VALUES(1,'gradient_norm/blocks.5/std',4,1,0.32221140920682761477);
INSERT INTO metrics VALUES(1,'gradient_norm/embed/max',4,1,0.98841954461787573382);
INSERT INTO metrics VALUES(1,'gradient_norm/embed/mean',4,1,0.7379181167276329667);
INSERT INTO metrics VALUES(1,'gradient_norm/embed/min',4,1,0.30400624517676672065);
INSERT INTO metrics VALUES(1,'gradient_norm/embed/std',4,1,0.2988769321443411342);
INSERT INTO metrics VALUES(1,'gradient_norm/head/max',4,1,1.8163500868331823312);
INSERT INTO metrics VALUES(1,'gradient_norm/head/mean',4,1,1.29467073975096425);
INSERT INTO metrics VALUES(1,'gradient_norm/head/min',4,1,0.97365419372711681234);
INSERT INTO metrics VALUES(1,'gradient_norm/head/std',4,1,0.370620578706545023);
INSERT INTO metrics VALUES(1,'images_per_s',4,1,14.552822052185497625);
INSERT INTO metrics VALUES(1,'learning_rate',4,1,0.00014644660940672628106);
INSERT INTO metrics VALUES(1,'loss',4,1,2.2727066874504089355);
INSERT INTO metrics VALUES(1,'memory/activation_bytes',4,1,33877256.0);
INSERT INTO metrics VALUES(1,'memory/adapter_bytes',4,1,0.0);
INSERT INTO metrics VALUES(1,'memory/gradient_bytes',4,1,1228328.0);
INSERT INTO metrics VALUES(1,'memory/optimizer_bytes',4,1,2456656.0);
INSERT INTO metrics VALUES(1,'memory/peak_bytes',4,1,40833744.0);
INSERT INTO metrics VALUES(1,'memory/rss_bytes',4,1,234692608.0);
INSERT INTO metrics VALUES(1,'memory/scales_bytes',4,1,0.0);
INSERT INTO metrics VALUES(1,'memory/weights_bytes',4,1,1228328.0);
INSERT INTO metrics VALUES(1,'memory/workspace_bytes',4,1,32768.0);
INSERT INTO metrics VALUES(2,'eval/loss',4,1,2.1589936136880196748);
INSERT INTO metrics VALUES(2,'eval/macro_f1',4,1,0.076300366300366295746);
INSERT INTO metrics VALUES(2,'eval/macro_precision',4,1,0.084320175438596489669);
INSERT INTO metrics VALUES(2,'eval/macro_recall',4,1,0.17083333333333333703);
INSERT INTO metrics VALUES(2,'eval/top1',4,1,0.1875);
INSERT INTO metrics VALUES(2,'eval/top5',4,1,0.796875);
INSERT INTO metrics VALUES(2,'gradient_norm',4,1,1.7943599604728293073);
INSERT INTO metrics VALUES(2,'gradient_norm/blocks.0/max',4,1,0.9804946916421861669);
INSERT INTO metrics VALUES(2,'gradient_norm/blocks.0/mean',4,1,0.78845141143538510775);
INSERT INTO metrics VALUES(2,'gradient_norm/blocks.0/min',4,1,0.45595764226593482604);
INSERT INTO metrics VALUES(2,'gradient_norm/blocks.0/std',4,1,0.2446476150130382221);
INSERT INTO metrics VALUES(2,'gradient_norm/blocks.1/max',4,1,0.71176770288340129866);
INSERT INTO metrics VALUES(2,'gradient_norm/blocks.1/mean',4,1,0.53181445695479312441);
INSERT INTO metrics VALUES(2,'gradient_norm/blocks.1/min',4,1,0.3121424891292288728);
INSERT INTO metrics VALUES(2,'gradient_norm/blocks.1/std',4,1,0.16684671613561927183);
INSERT INTO metrics VALUES(2,'gradient_norm/blocks.2/max',4,1,0.63648088327285212706);
INSERT INTO metrics VALUES(2,'gradient_norm/blocks.2/mean',4,1,0.46576844181593607396);
INSERT INTO metrics VALUES(2,'gradient_norm/blocks.2/min',4,1,0.26858652033188057384);
INSERT INTO metrics VALUES(2,'gradient_norm/blocks.2/std',4,1,0.15180021237458751759);
INSERT INTO metrics VALUES(2,'gradient_norm/blocks.3/max',4,1,0.54262235672916026008);
INSERT INTO metrics VALUES(2,'gradient_norm/blocks.3/mean',4,1,0.41243190609410507185);
INSERT INTO metrics VALUES(2,'gradient_norm/blocks.3/min',4,1,0.24833035057365229758);
INSERT INTO metrics VALUES(2,'gradient_norm/blocks.3/std',4,1,0.12343819838572943348);
INSERT INTO metrics VALUES(2,'gradient_norm/blocks.4/max',4,1,0.47955651235683227628);
INSERT INTO metrics VALUES(2,'gradient_norm/blocks.4/mean',4,1,0.3687567890915945945);
INSERT INTO metrics VALUES(2,'gradient_norm/blocks.4/min',4,1,0.23106583331804236847);
INSERT INTO metrics VALUES(2,'gradient_norm/blocks.4/std',4,1,0.10435407660501437587);
INSERT INTO metrics VALUES(2,'gradient_norm/blocks.5/max',4,1,0.44225223984741129923);
INSERT INTO metrics VALUES(2,'gradient_norm/blocks.5/mean',4,1,0.35089200845558360386);
INSERT INTO metrics VALUES(2,'gradient_norm/blocks.5/min',4,1,0.22815276372879825239);
INSERT INTO metrics VALUES(2,'gradient_norm/blocks.5/std',4,1,0.092622393310184500392);
INSERT INTO metrics VALUES(2,'gradient_norm/embed/max',4,1,0.82619291044084053332);
INSERT INTO metrics VALUES(2,'gradient_norm/embed/mean',4,1,0.58517817505976932324);
INSERT INTO metrics VALUES(2,'gradient_norm/embed/min',4,1,0.38903481865025102415);
INSERT INTO metrics VALUES(2,'gradient_norm/embed/std',4,1,0.18306679884896107091);
INSERT INTO metrics VALUES(2,'gradient_norm/head/max',4,1,1.6112913868974929609);
INSERT INTO metrics VALUES(2,'gradient_norm/head/mean',4,1,1.0952540199364717565);
INSERT INTO metrics VALUES(2,'gradient_norm/head/min',4,1,0.66212867607174952233);
INSERT INTO metrics VALUES(2,'gradient_norm/head/std',4,1,0.39044365064516139973);
INSERT INTO metrics VALUES(2,'images_per_s',4,1,34.346887358641502885);
INSERT INTO metrics VALUES(2,'learning_rate',4,1,0.00014644660940672628106);
INSERT INTO metrics VALUES(2,'loss',4,1,2.2655515670776367187);
INSERT INTO metrics VALUES(2,'memory/activation_bytes',4,1,33877256.0);
INSERT INTO metrics VALUES(2,'memory/adapter_bytes',4,1,0.0);
INSERT INTO metrics VALUES(2,'memory/gradient_bytes',4,1,1228328.0);
INSERT INTO metrics VALUES(2,'memory/optimizer_bytes',4,1,2456656.0);
INSERT INTO metrics VALUES(2,'memory/peak_bytes',4,1,40833744.0);
INSERT INTO metrics VALUES(2,'memory/rss_bytes',4,1,234717184.0);
INSERT INTO metrics VALUES(2,'memory/scales_bytes',4,1,0.0);
INSERT INTO metrics VALUES(2,'memory/weights_bytes',4,1,1228328.0);
INSERT INTO metrics VALUES(2,'memory/workspace_bytes',4,1,32768.0);
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
INSERT INTO results VALUES(1,'{"quant_type":"none","bytes_before":"1228328","bytes_after":"1228328","compute_dtype_asked":"bfloat16","compute_dtype_used":"bfloat16"}','{"model":"vit_mini_patch4_28","method":"full","epochs":"1","steps":"4","best_epoch":"1","best":{"epoch":"1","loss":2.172398704607569,"top1":0.1875,"top5":0.7421875,"macro_precision":0.043495934959349593,"macro_recall":0.16470588235294117,"macro_f1":0.0665024630541872,"images":"128","confusion":["0","5","7","0","0","0","0","0","0","0","0","13","0","0","0","0","0","0","0","0","0","6","11","0","0","0","0","0","0","0","2","7","2","0","0","0","0","0","0","0","3","3","6","0","0","0","0","0","0","0","0","12","0","0","0","0","0","0","0","0","0","3","7","0","0","0","0","0","0","0","0","15","0","0","0","0","0","0","0","0","3","5","8","0","0","0","0","0","0","0","1","9","0","0","0","0","0","0","0","0"]},"final":{"epoch":"1","loss":2.172398704607569,"top1":0.1875,"top5":0.7421875,"macro_precision":0.043495934959349593,"macro_recall":0.16470588235294117,"macro_f1":0.0665024630541872,"images":"128","confusion":["0","5","7","0","0","0","0","0","0","0","0","13","0","0","0","0","0","0","0","0","0","6","11","0","0","0","0","0","0","0","2","7","2","0","0","0","0","0","0","0","3","3","6","0","0","0","0","0","0","0","0","12","0","0","0","0","0","0","0","0","0","3","7","0","0","0","0","0","0","0","0","15","0","0","0","0","0","0","0","0","3","5","8","0","0","0","0","0","0","0","1","9","0","0","0","0","0","0","0","0"]},"final_train_loss":2.2727066874504089,"total_parameters":"307082","trainable_parameters":"307082","quantization":{"quant_type":"none","bytes_before":"1228328","bytes_after":"1228328","compute_dtype_asked":"bfloat16","compute_dtype_used":"bfloat16"},"memory":{"weights_bytes":"1228328","gradient_bytes":"1228328","optimizer_bytes":"2456656","activation_bytes":"33877256","workspace_bytes":"32768","peak_bytes":"40833744","rss_before_bytes":"188166144","rss_peak_bytes":"291471360","limit_bytes":"25276502016","micro_batch":"64","accumulation_steps":"1","gradient_checkpointing":"none"},"gradients":{"norm_mean":2.2153350763116069,"norm_std":0.85726107163601306,"norm_min":1.223487303139049,"norm_max":3.1299505352335344},"provenance":{"spec_sha256":"112f8a110c0d037ffb75a27ccb05d10334a21b060c53d1a07c6f466dc87e3894","adapter_sha256":"99efb9cb448154e02611c02f9af8a7700dcaba06b2f622f5362051a580004ccf","qsweep_version":"0.1.0","torch_version":"1.13.0","cpu":"AMD EPYC","instruction_set":"avx512_vnni","threads":2,"device":"cpu"},"train_seconds":19.605951451,"images_per_s":16.683383521226084,"files":[{"name":"model.safetensors","sha256":"99efb9cb448154e02611c02f9af8a7700dcaba06b2f622f5362051a580004ccf","bytes":"1235224"}]}','{"epoch":"1","loss":2.172398704607569,"top1":0.1875,"top5":0.7421875,"macro_precision":0.043495934959349593,"macro_recall":0.16470588235294117,"macro_f1":0.0665024630541872,"images":"128"}',1);
INSERT INTO results VALUES(2,'{"quant_type":"none","bytes_before":"1228328","bytes_after":"1228328","compute_dtype_asked":"bfloat16","compute_dtype_used":"bfloat16"}','{"model":"vit_mini_patch4_28","method":"full","epochs":"1","steps":"4","best_epoch":"1","best":{"epoch":"1","loss":2.1589936136880197,"top1":0.1875,"top5":0.796875,"macro_precision":0.08432017543859649,"macro_recall":0.17083333333333334,"macro_f1":0.0763003663003663,"images":"128","confusion":["7","0","0","0","0","0","0","5","0","0","0","0","0","0","0","0","0","13","0","0","11","0","0","0","0","0","0","6","0","0","4","0","0","0","0","0","0","7","0","0","8","0","0","0","0","0","0","3","1","0","0","0","0","0","0","0","0","12","0","0","7","0","0","0","0","0","0","3","0","0","0","0","0","0","0","0","0","15","0","0","10","0","0","0","0","0","0","4","2","0","1","0","0","0","0","0","0","8","1","0"]},"final":{"epoch":"1","loss":2.1589936136880197,"top1":0.1875,"top5":0.796875,"macro_precision":0.08432017543859649,"macro_recall":0.17083333333333334,"macro_f1":0.0763003663003663,"images":"128","confusion":["7","0","0","0","0","0","0","5","0","0","0","0","0","0","0","0","0","13","0","0","11","0","0","0","0","0","0","6","0","0","4","0","0","0","0","0","0","7","0","0","8","0","0","0","0","0","0","3","1","0","0","0","0","0","0","0","0","12","0","0","7","0","0","0","0","0","0","3","0","0","0","0","0","0","0","0","0","15","0","0","10","0","0","0","0","0","0","4","2","0","1","0","0","0","0","0","0","8","1","0"]},"final_train_loss":2.2655515670776367,"total_parameters":"307082","trainable_parameters":"307082","quantization":{"quant_type":"none","bytes_before":"1228328","bytes_after":"1228328","compute_dtype_asked":"bfloat16","compute_dtype_used":"bfloat16"},"memory":{"weights_bytes":"1228328","gradient_bytes":"1228328","optimizer_bytes":"2456656","activation_bytes":"33877256","workspace_bytes":"32768","peak_bytes":"40833744","rss_before_bytes":"188186624","rss_peak_bytes":"291459072","limit_bytes":"25276502016","micro_batch":"64","accumulation_steps":"1","gradient_checkpointing":"none"},"gradients":{"norm_mean":1.7943599604728293,"norm_std":0.40243549674327961,"norm_min":1.34573220182943,"norm_max":2.314742431657459},"provenance":{"spec_sha256":"787917d3477e2851f91ebf330e70b5699269fca4f013042f5430fe8120a88280","adapter_sha256":"d15885899b416a935a718127dbf4c3ea708686255837f885a5692c659244d590","qsweep_version":"0.1.0","torch_version":"1.13.0","cpu":"AMD EPYC","instruction_set":"avx512_vnni","threads":2,"device":"cpu"},"train_seconds":8.3519149629999987,"images_per_s":34.70592448427476,"files":[{"name":"model.safetensors","sha256":"d15885899b416a935a718127dbf4c3ea708686255837f885a5692c659244d590","bytes":"1235224"}]}','{"epoch":"1","loss":2.1589936136880197,"top1":0.1875,"top5":0.796875,"macro_precision":0.08432017543859649,"macro_recall":0.17083333333333334,"macro_f1":0.0763003663003663,"images":"128"}',1);
CREATE TABLE history (
  id      INTEGER PRIMARY KEY,
  run_id  INTEGER NOT NULL REFERENCES runs (id),
  attempt INTEGER NOT NULL,
  at_us   INTEGER NOT NULL,
  text    TEXT NOT NULL
) STRICT;
INSERT INTO history VALUES(1,1,1,1795576990385686,'assigned to vm');
INSERT INTO history VALUES(2,1,1,1795577078231124,'succeeded');
INSERT INTO history VALUES(3,2,1,1795577078231124,'assigned to vm');
INSERT INTO history VALUES(4,2,1,1795577106196979,'succeeded');
CREATE TABLE logs (
  id      INTEGER PRIMARY KEY,
  run_id  INTEGER NOT NULL REFERENCES runs (id),
  attempt INTEGER NOT NULL,
  at_us   INTEGER NOT NULL,               -- the trainer's clock
  level   TEXT NOT NULL,
  text    TEXT NOT NULL
) STRICT;
INSERT INTO logs VALUES(1,1,1,1795577055234352,'info','4 steps in epochs of 4, micro-batch 64');
INSERT INTO logs VALUES(2,1,1,1795577055234366,'info','weights 1.23 MB, not quantized; computed in bfloat16');
INSERT INTO logs VALUES(3,1,1,1795577075052010,'info','epoch 1 evaluated on 128 images: loss 2.1724  top-1 18.75 %  top-5 74.22 %  macro F1 0.0665  (best so far)');
INSERT INTO logs VALUES(4,2,1,1795577096073169,'info','4 steps in epochs of 4, micro-batch 64');
INSERT INTO logs VALUES(5,2,1,1795577096073181,'info','weights 1.23 MB, not quantized; computed in bfloat16');
INSERT INTO logs VALUES(6,2,1,1795577104425449,'info','epoch 1 evaluated on 128 images: loss 2.1590  top-1 18.75 %  top-5 79.69 %  macro F1 0.0763  (best so far)');
CREATE TABLE artifacts (
  sha256 TEXT PRIMARY KEY,
  bytes  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO artifacts VALUES('99efb9cb448154e02611c02f9af8a7700dcaba06b2f622f5362051a580004ccf',1235224);
INSERT INTO artifacts VALUES('d15885899b416a935a718127dbf4c3ea708686255837f885a5692c659244d590',1235224);
CREATE TABLE artifact_refs (
  run_id  INTEGER NOT NULL REFERENCES runs (id),
  role    TEXT NOT NULL CHECK (role IN ('upload', 'checkpoint', 'product')),
  name    TEXT NOT NULL,                  -- upload: the hash; else as in the attempt directory
  step    INTEGER NOT NULL,               -- of a checkpoint, else 0
  sha256  TEXT NOT NULL REFERENCES artifacts (sha256),
  PRIMARY KEY (run_id, role, name)
) STRICT, WITHOUT ROWID;
INSERT INTO artifact_refs VALUES(1,'product','model.safetensors',0,'99efb9cb448154e02611c02f9af8a7700dcaba06b2f622f5362051a580004ccf');
INSERT INTO artifact_refs VALUES(2,'product','model.safetensors',0,'d15885899b416a935a718127dbf4c3ea708686255837f885a5692c659244d590');
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('sweeps',2);
INSERT INTO sqlite_sequence VALUES('runs',4);
CREATE INDEX sweeps_by_name ON sweeps (name, id);
CREATE INDEX runs_by_sweep ON runs (sweep_id, id);
CREATE UNIQUE INDEX attempts_live ON attempts (run_id) WHERE outcome = 'running';
CREATE INDEX history_by_run ON history (run_id, id);
CREATE INDEX logs_by_run ON logs (run_id, id);
CREATE INDEX artifact_refs_by_content ON artifact_refs (sha256);
COMMIT;
PRAGMA user_version = 1;
