/* Every key of the configuration but the lists `tasks` and `actions`: one row.
 *   X(path in YAML, kind, member of cx_config, default, low, high, help)
 * Kinds: INT (int), UINT64, REAL (double), BOOL, STRING (char[256], default a
 * string), WORD(list) (int, the word's number in the NULL-terminated list of
 * words; default a number), REALS (cx_reals: a list of numbers,
 * ascending; default in key.c).
 * `desk` and `paper` are presets: a key listed in CX_PRESET_TABLE takes its
 * default from the preset; whatever the file says goes first. */
#ifndef CX_CONFIG_KEYS_H
#define CX_CONFIG_KEYS_H

/* clang-format off */
#define CX_CONFIG_KEYS(X) \
X("seed", UINT64, seed, 1, 0, 1.8e19, "seed of everything random in the run") \
X("mode", WORD(cx_mode_words), mode, CX_MODE_ASYNCHRONOUS, 0, 0, "asynchronous, or synchronous: the same weights bit for bit whatever the number of ranks") \
X("updates", INT, updates, 100, 1, 1e8, "learner updates in the whole run") \
X("preset", WORD(cx_preset_words), preset, CX_PRESET_DESK, 0, 0, "desk or paper: where the defaults of ppo.* come from") \
X("data.fashion_mnist", STRING, data.fashion_mnist, "/usr/share/datasets/fashion-mnist", 0, 0, "folder with Fashion-MNIST as gzipped IDX files") \
X("data.mnist", STRING, data.mnist, "", 0, 0, "folder with MNIST, the same four files") \
X("data.kmnist", STRING, data.kmnist, "", 0, 0, "folder with KMNIST, the same four files") \
X("data.sentences", STRING, data.sentences, "", 0, 0, "labeled sentences: a folder with train, dev and test files (SST's trees, label<TAB>text, or CSV), or one such file") \
X("data.text", STRING, data.text, "", 0, 0, "corpus of family text: a folder with train, valid and test files, or one plain text file, which is cut") \
X("data.gpt2", STRING, data.gpt2, "", 0, 0, "corpus of family gpt2: as data.text; WikiText's folders as they are") \
X("data.gpt2_tokenizer", STRING, data.gpt2_tokenizer, "", 0, 0, "folder with GPT-2's vocab.json and merges.txt, or a file of `coxswain tokenize`; empty: learned from the corpus") \
X("data.resnet", STRING, data.resnet, "", 0, 0, "natural images: a folder {train,val}/CLASS/*.jpg|png, or CIFAR's binary files") \
X("data.ncf", STRING, data.ncf, "", 0, 0, "ratings: MovieLens' ratings.dat, ratings.csv or u.data") \
X("data.speech", STRING, data.speech, "", 0, 0, "recordings: a folder of FSDD's WAV files, or LibriSpeech's of FLAC files with transcripts") \
X("data.cache", STRING, data.cache, "", 0, 0, "folder for packed images and tokenized corpora; empty: $XDG_CACHE_HOME/coxswain, or ~/.cache/coxswain") \
X("data.validation_examples", INT, data.validation_examples, 10000, 100, 50000, "examples split off the training files for validation") \
X("episode.environment_reuse", INT, episode.environment_reuse, 4, 1, 100000, "episodes that one task instance serves") \
X("episode.feature_interval", INT, episode.feature_interval, 4, 1, 1000, "inner features are taken on every n-th inner step") \
X("episode.feature_clip", REAL, episode.feature_clip, 20, 1, 1000, "bound of the inner features before normalization") \
X("episode.parameter_average", REAL, episode.parameter_average, 0.99, 0, 0.99999, "largest weight of the old average in the parameters' exponential average; 0: none") \
X("episode.outer_examples", INT, episode.outer_examples, 256, 16, 10000, "validation examples evaluated after each outer step") \
X("episode.final_examples", INT, episode.final_examples, 1024, 16, 10000, "validation examples of the final loss, for policy and baselines alike") \
X("episode.max_gflop", REAL, episode.max_gflop, 0, 0, 1e9, "tasks whose whole inner training costs more are drawn again; 0: no bound") \
X("episode.noise_full_at", INT, episode.noise_full_at, 32, 0, 1000, "outer steps from which the start noise on lr has its full range (less in proportion below); 0: always full") \
X("reward.form", WORD(cx_reward_words), reward.form, CX_REWARD_ENVELOPE, 0, 0, "envelope or power_fit") \
X("reward.floor", REAL, reward.floor, -3, -100, 0, "least reward; also that of a diverged run") \
X("reward.learning_rates", REALS, reward.learning_rates, 0, 1e-8, 10, "learning rates of the Adam sweep, ascending") \
X("reward.max_extensions", INT, reward.max_extensions, 6, 0, 20, "half decades by which the sweep may grow while the best is at its edge") \
X("reward.length_factor", INT, reward.length_factor, 4, 1, 16, "envelope: the best runs are continued to this many times the task's length") \
X("optimizer.lr", REAL, optimizer.start.value[CX_HYPER_LR], 1e-3, 1e-8, 1e4, "starting values of every episode, before noise") \
X("optimizer.weight_decay", REAL, optimizer.start.value[CX_HYPER_WEIGHT_DECAY], 1e-2, 0, 1, "") \
X("optimizer.epsilon", REAL, optimizer.start.value[CX_HYPER_EPSILON], 1e-6, 1e-12, 1, "") \
X("optimizer.ombeta2", REAL, optimizer.start.value[CX_HYPER_OMBETA2], 1e-2, 1e-6, 1, "1 - beta2") \
X("optimizer.ombeta1", REAL, optimizer.start.value[CX_HYPER_OMBETA1], 0.1, 1e-6, 1, "1 - beta1") \
X("optimizer.group_clip_grad_norm", REAL, optimizer.start.value[CX_HYPER_GROUP_CLIP], 0.8, 1e-10, 1e10, "limit of the gradient norm, times its rolling maximum") \
X("optimizer.grad_clip_ombeta", REAL, optimizer.start.value[CX_HYPER_CLIP_OMBETA], 1e-2, 1e-6, 1, "decay of the rolling maximum") \
X("optimizer.lamb_update_norm_ombeta", REAL, optimizer.start.value[CX_HYPER_LAMB_OMBETA], 0.05, 1e-6, 1, "rate of the update norm's average") \
X("optimizer.denominator_norm", REAL, optimizer.denominator_norm, INFINITY, 1, INFINITY, ".inf: AdaMax; 2: Adam; another number q: the q-th root of the q-th moment") \
X("optimizer.scale_grad_norm_by_rolling_max", BOOL, optimizer.scale_by_rolling_max, 1, 0, 1, "") \
X("optimizer.adam_update_include_weight_decay", BOOL, optimizer.decay_in_update, 1, 0, 1, "") \
X("optimizer.lamb_power", REAL, optimizer.lamb_power, 1, 0, 10, "power of the trust ratio; 0: no LAMB") \
X("optimizer.lamb_min_trust", REAL, optimizer.lamb_min_trust, 1e-3, 0, 1e10, "") \
X("optimizer.lamb_max_trust", REAL, optimizer.lamb_max_trust, 10, 0, INFINITY, "infinite in the authors' defaults") \
X("optimizer.lamb_ignore_vectors", BOOL, optimizer.lamb_ignore_vectors, 1, 0, 1, "") \
X("observations.cdf", BOOL, observations.cdf, 1, 0, 1, "CDF features; off: they stay 0.5") \
X("observations.log_steps", BOOL, observations.log_steps, 0, 0, 1, "log of the number of inner steps as two further observations") \
X("policy.hidden", INT, policy.hidden, 256, 4, 4096, "units of the linear layers before and after the LSTM") \
X("policy.lstm", INT, policy.lstm, 256, 4, 4096, "units of the LSTM") \
X("policy.residual", BOOL, policy.residual, 1, 0, 1, "heads also read the normalized input directly") \
X("policy.input_beta", REAL, policy.input_beta, 0.999, 0, 0.999999, "decay of the input normalization's statistics") \
X("policy.input_clip", REAL, policy.input_clip, 2, 0.1, 100, "bound of the normalized inputs") \
X("policy.polyak", REAL, policy.polyak, 0.99, 0, 0.99999, "weight of the old average in the policy that is evaluated and shipped; 0: the newest") \
X("ppo.learning_rate", REAL, ppo.learning_rate, 0, 1e-8, 1, "Adam's lr of policy and value function") \
X("ppo.beta2", REAL, ppo.beta2, 0.999, 0, 0.999999, "") \
X("ppo.clip", REAL, ppo.clip, 0.2, 0.01, 10, "bound of the probability ratio") \
X("ppo.entropy", REAL, ppo.entropy, 0, 0, 10, "coefficient of the entropy bonus") \
X("ppo.value_coefficient", REAL, ppo.value_coefficient, 0.5, 0, 100, "") \
X("ppo.gae_lambda", REAL, ppo.gae_lambda, 0.95, 0, 1, "") \
X("ppo.gamma", REAL, ppo.gamma, 1, 0, 1, "") \
X("ppo.gradient_norm", REAL, ppo.gradient_norm, 0, 1e-3, 1e6, "bound of the gradient norm") \
X("ppo.episodes_per_update", INT, ppo.episodes_per_update, 0, 1, 1e6, "new episodes that an update waits for") \
X("ppo.minibatch_episodes", INT, ppo.minibatch_episodes, 0, 1, 1e6, "episodes of one gradient step") \
X("ppo.minibatches", INT, ppo.minibatches, 0, 1, 1e6, "gradient steps of one update") \
X("ppo.buffer_episodes", INT, ppo.buffer_episodes, 0, 1, 1e6, "episodes kept for the learner, newest first") \
X("ppo.max_uses", INT, ppo.max_uses, 0, 1, 1000, "gradient steps that one episode may serve") \
X("ppo.max_staleness", INT, ppo.max_staleness, 4, 1, 1000, "versions by which the learner may be ahead of the policy that acted") \
X("ppo.anneal_to", REAL, ppo.anneal_to, 0, 0, 1, "lr and entropy fall linearly to this share over the run; 1: constant") \
X("ppo.normalize_reward", BOOL, ppo.normalize_reward, 0, 0, 1, "divide the reward by its running deviation, after taking off its mean") \
X("checkpoint.every_updates", INT, checkpoint.every_updates, 10, 1, 1e6, "updates from one checkpoint to the next") \
X("checkpoint.every_seconds", REAL, checkpoint.every_seconds, 60, 0, 1e6, "or seconds, whichever is first; 0: only by updates") \
X("checkpoint.keep", INT, checkpoint.keep, 3, 1, 1000, "newest checkpoints that are kept; every tenth is kept besides") \
X("workers.prefetch", INT, workers.prefetch, 32, 1, 64, "assignments that a worker holds at most, the running one included; more than one only of short ones") \
X("workers.chunk_steps", INT, workers.chunk_steps, 16, 1, 4096, "outer steps of one piece of a trajectory") \
X("workers.split_gflop", REAL, workers.split_gflop, 50, 0, 1e12, "tasks whose whole inner training costs more have each learning rate of their baseline sweep run as a job of its own, by several workers") \
X("workers.learner_ranks", INT, workers.learner_ranks, 0, 0, 4096, "ranks that compute gradients instead of episodes: the last ones; 0: rank 0 does") \
X("workers.kernels", WORD(cx_kernels_words), workers.kernels, CX_KERNELS_AUTO, 0, 0, "instruction set of the computing: auto, the best that all ranks have; each, the best of each rank, where the mode is asynchronous; or x86-64-v2, x86-64-v3, x86-64-v4") \
X("workers.late_factor", REAL, workers.late_factor, 5, 1.5, 1e6, "an episode is late, and done elsewhere, after so many times the time that its task should take") \
X("workers.late_seconds", REAL, workers.late_seconds, 30, 0.01, 1e9, "but not before so many seconds") \
X("workers.silence_seconds", REAL, workers.silence_seconds, 300, 1, 1e9, "an idle worker that has heard nothing from rank 0 for so long ends") \
X("allow_held_out", BOOL, allow_held_out, 0, 0, 1, "let `train` use families that are held out for evaluation") \
X("evaluation.tasks_per_entry", INT, evaluation.tasks_per_entry, 1, 1, 1000, "tasks that are drawn of each entry of `tasks`") \
X("evaluation.seeds", INT, evaluation.seeds, 5, 1, 32, "runs of each contestant: other initial weights and batches, the same for all") \
X("evaluation.learning_rates", REALS, evaluation.learning_rates, 0, 1e-8, 10, "of the AdamW sweep, with every schedule") \
X("evaluation.max_extensions", INT, evaluation.max_extensions, 6, 0, 12, "half decades by which a sweep may grow while its best is at an edge") \
X("evaluation.static_control", BOOL, evaluation.static_control, 1, 0, 1, "tune the learned optimizer's rule with constant hyperparameters, too") \
X("evaluation.static_learning_rates", REALS, evaluation.static_learning_rates, 0, 1e-8, 10, "of its sweep, with every schedule") \
X("evaluation.sgd", BOOL, evaluation.sgd, 1, 0, 1, "SGD with Nesterov momentum and cosine, too") \
X("evaluation.sgd_learning_rates", REALS, evaluation.sgd_learning_rates, 0, 1e-8, 100, "of its sweep") \
X("evaluation.open_loop", BOOL, evaluation.open_loop, 1, 0, 1, "replay the policy's mean trajectory of the other tasks, too") \
X("evaluation.sampled", BOOL, evaluation.sampled, 1, 0, 1, "the policy with sampled choices, too") \
X("evaluation.start_lr", REALS, evaluation.start_lr, 0, 1e-4, 1e4, "factors of optimizer.lr from which the policy starts; each but 1 is a further contestant") \
X("evaluation.trials", INT, evaluation.trials, 32, 0, 256, "trials of a random search of AdamW with cosine; 0: none") \
X("evaluation.validation_examples", INT, evaluation.validation_examples, 0, 0, 1e7, "of the validation split, for final losses; 0: all of it") \
X("evaluation.test_examples", INT, evaluation.test_examples, 0, 0, 1e7, "of the test split; 0: all of it") \
X("evaluation.cache", STRING, evaluation.cache, "", 0, 0, "folder of finished runs that several evaluations share; empty: only that of --out") \
X("baseline_cache", STRING, baseline_cache, "", 0, 0, "folder of a baseline cache that several runs share; empty: the run's own")

/* path, desk, paper */
#define CX_PRESET_TABLE(X) \
X("ppo.learning_rate", 1e-3, 2e-4) \
X("ppo.entropy", 3e-3, 1e-2) \
X("ppo.gradient_norm", 1, 5) \
X("ppo.episodes_per_update", 256, 128) \
X("ppo.minibatch_episodes", 64, 128) \
X("ppo.minibatches", 12, 4) \
X("ppo.buffer_episodes", 256, 768) \
X("ppo.max_uses", 3, 4) \
X("ppo.anneal_to", 0.1, 1) \
X("ppo.normalize_reward", 1, 0)
/* clang-format on */

#endif
