// Holds the precompiled torch/torch.h for the engine.
