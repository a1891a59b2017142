// The attempt directory: the border between whoever supervises a run (worker/agent, or a person)
// and qtrain. One directory holds one attempt and is never trained in twice.
//
//   spec.json          canonical ExperimentSpec                      written by the supervisor
//   resume.safetensors the checkpoint to continue from, if any       written by the supervisor
//   weights.safetensors the content of model.weights = run:..., if any
//   lock               flock held by qtrain for as long as it lives  written by qtrain from here on
//   events.log         common/event_log.h
//   checkpoint-STEP.safetensors   the two newest; complete as soon as events.log names them
//   adapter_model.safetensors, adapter_config.json, model.safetensors, head.safetensors
//                      the run's products, named in `finished`
//   output.txt         what qtrain printed; its end is the evidence when it died without a word
//
// Command line: qtrain run --spec F --dir D [--threads N] [--memory-limit BYTES] [--data-root D]
//                          [--model-root D] [--resume F] [--weights F] [--device D]
// SIGTERM, however often, and SIGINT: finish the step, write a checkpoint if the method has any
// (sensitivity has none), exit with kExitStopped.
#ifndef QSWEEP_COMMON_ATTEMPT_DIR_H_
#define QSWEEP_COMMON_ATTEMPT_DIR_H_

namespace qsweep {

inline constexpr char kSpecFile[] = "spec.json";
inline constexpr char kResumeFile[] = "resume.safetensors";
inline constexpr char kWeightsFile[] = "weights.safetensors";
inline constexpr char kLockFile[] = "lock";
inline constexpr char kEventsFile[] = "events.log";
inline constexpr char kOutputFile[] = "output.txt";

// What qtrain writes when the run is done, by method: lora | full | linear_probe.
inline constexpr char kAdapterFile[] = "adapter_model.safetensors";
inline constexpr char kAdapterConfigFile[] = "adapter_config.json";
inline constexpr char kModelFile[] = "model.safetensors";
inline constexpr char kHeadFile[] = "head.safetensors";

// Exit codes of qtrain, besides kExitUsage (common/command_line.h).
inline constexpr int kExitFinished = 0;  // events.log ends in `finished`
inline constexpr int kExitFailed = 1;    // events.log ends in `failed`
inline constexpr int kExitStopped = 75;  // told to stop; checkpoints so far are in events.log

}  // namespace qsweep

#endif  // QSWEEP_COMMON_ATTEMPT_DIR_H_
