/* What tests/nn/double_gradients.c checks: one row a variant of an operator. Values: n
 * normal; k odd multiples of 0.1, so that no kink lies within a step; d all different;
 * p positive; i integers below the last number; - absent. */
#include <stddef.h>

typedef struct {
    char values;
    int rank, dim[4];
    int below;
} case_input;

typedef struct {
    const char *op;
    case_input in[12];
    cx_attr attrs[8];
    cx_mode mode;
    int32_t ints[3][12]; /* integer inputs in turn, where random numbers would not fit */
} gradient_case;

#define N1(a)                                                                                      \
    { 'n', 1, {a}, 0 }
#define N2(a, b)                                                                                   \
    { 'n', 2, {a, b}, 0 }
#define N3(a, b, c)                                                                                \
    { 'n', 3, {a, b, c}, 0 }
#define N4(a, b, c, d)                                                                             \
    { 'n', 4, {a, b, c, d}, 0 }
#define K1(a)                                                                                      \
    { 'k', 1, {a}, 0 }
#define K2(a, b)                                                                                   \
    { 'k', 2, {a, b}, 0 }
#define K3(a, b, c)                                                                                \
    { 'k', 3, {a, b, c}, 0 }
#define K4(a, b, c, d)                                                                             \
    { 'k', 4, {a, b, c, d}, 0 }
#define D4(a, b, c, d)                                                                             \
    { 'd', 4, {a, b, c, d}, 0 }
#define P1(a)                                                                                      \
    { 'p', 1, {a}, 0 }
#define NONE                                                                                       \
    { '-', 0, {0}, 0 }
#define LAST                                                                                       \
    { NULL, 0 }

/* clang-format off */
static const gradient_case gradient_cases[] = {
    {"linear", {N2(5, 7), N2(3, 7), N1(3)}, {LAST}, CX_TRAIN, {{0}}},
    {"linear", {N3(2, 3, 5), N2(7, 5)}, {LAST}, CX_TRAIN, {{0}}},
    {"linear", {N2(1, 33), N2(17, 33), N1(17)}, {LAST}, CX_TRAIN, {{0}}},
    {"linear", {N1(9), N2(4, 9), N1(4)}, {LAST}, CX_TRAIN, {{0}}},
    {"linear", {N2(41, 67), N2(37, 67), N1(37)}, {LAST}, CX_TRAIN, {{0}}},
    {"act_relu", {K1(37)}, {LAST}, CX_TRAIN, {{0}}},
    {"act_leaky_relu", {K2(3, 11)}, {{"slope", 0.33}, LAST}, CX_TRAIN, {{0}}},
    {"act_leaky_relu", {K2(3, 11)}, {{"slope", 0}, LAST}, CX_TRAIN, {{0}}},
    {"act_elu", {K1(37)}, {{"alpha", 1.7}, LAST}, CX_TRAIN, {{0}}},
    {"act_celu", {K1(37)}, {{"alpha", 0.5}, LAST}, CX_TRAIN, {{0}}},
    {"act_tanh", {N1(37)}, {LAST}, CX_TRAIN, {{0}}},
    {"act_sigmoid", {N1(37)}, {LAST}, CX_TRAIN, {{0}}},
    {"act_silu", {N1(37)}, {LAST}, CX_TRAIN, {{0}}},
    {"act_gelu_erf", {N1(37)}, {LAST}, CX_TRAIN, {{0}}},
    {"act_gelu_tanh", {N1(37)}, {LAST}, CX_TRAIN, {{0}}},
    {"act_prelu", {K2(3, 11), K1(1)}, {LAST}, CX_TRAIN, {{0}}},
    {"act_prelu", {K2(3, 11), K1(11)}, {LAST}, CX_TRAIN, {{0}}},
    {"act_prelu", {K4(2, 3, 5, 7), K1(3)}, {LAST}, CX_TRAIN, {{0}}},
    {"act_rrelu", {K1(37)}, {{"lower", 0.2}, {"upper", 0.9}, LAST}, CX_TRAIN, {{0}}},
    {"act_rrelu", {K1(37)}, {{"lower", 0.2}, {"upper", 0.9}, LAST}, CX_EVAL, {{0}}},
    {"dropout", {N1(37)}, {{"p", 0.3}, LAST}, CX_TRAIN, {{0}}},
    {"dropout", {N1(37)}, {{"p", 0.3}, LAST}, CX_EVAL, {{0}}},
    {"dropout", {N1(37)}, {{"p", 0}, LAST}, CX_TRAIN, {{0}}},
    {"scale", {N1(37)}, {{"factor", -2.5}, LAST}, CX_TRAIN, {{0}}},
    {"add", {N2(3, 5), N2(3, 5)}, {LAST}, CX_TRAIN, {{0}}},
    {"add", {N3(2, 3, 5), N2(3, 5)}, {LAST}, CX_TRAIN, {{0}}},
    {"mul", {N2(3, 5), N2(3, 5)}, {LAST}, CX_TRAIN, {{0}}},
    {"mul", {N3(4, 3, 5), N1(5)}, {LAST}, CX_TRAIN, {{0}}},
    {"reshape", {N2(4, 6)}, {{"d0", 3}, {"d1", 2}, {"d2", -1}, {"d3", 2}, LAST}, CX_TRAIN, {{0}}},
    {"flatten", {N4(2, 3, 4, 5)}, {{"keep", 2}, LAST}, CX_TRAIN, {{0}}},
    {"concat", {N2(3, 5), N2(3, 2), N2(3, 1)}, {LAST}, CX_TRAIN, {{0}}},
    {"stop_gradient", {N2(3, 5)}, {LAST}, CX_TRAIN, {{0}}}, /* nothing to compare: see tests/nn/test_graph.c */
    {"layernorm", {N3(2, 3, 19), N1(19), N1(19)}, {{"eps", 1e-3}, LAST}, CX_TRAIN, {{0}}},
    {"layernorm", {N4(2, 3, 4, 5), N3(3, 4, 5), N3(3, 4, 5)}, {{"dims", 3}, LAST}, CX_TRAIN, {{0}}},
    {"layernorm", {N2(5, 7)}, {LAST}, CX_TRAIN, {{0}}},
    {"lstm_layernorm", {N3(4, 3, 5), N2(3, 6), N2(3, 6), N2(24, 5), N2(24, 6), N1(24), N1(24), N1(24), N1(24), N1(6), N1(6)}, {{"eps", 1e-4}, LAST}, CX_TRAIN, {{0}}},
    {"lstm_layernorm", {N3(1, 1, 2), N2(1, 17), N2(1, 17), N2(68, 2), N2(68, 17), N1(68), N1(68), N1(68), N1(68), N1(17), N1(17)}, {LAST}, CX_TRAIN, {{0}}},
    {"lstm_layernorm", {N3(3, 2, 5), NONE, NONE, N2(12, 5), N2(12, 3), N1(12), N1(12), N1(12), N1(12), N1(3), N1(3)}, {{"eps", 0.1}, LAST}, CX_TRAIN, {{0}}},
    {"lstm_layernorm", {N3(3, 130, 2), N2(130, 3), N2(130, 3), N2(12, 2), N2(12, 3), N1(12), N1(12), N1(12), N1(12), N1(3), N1(3)}, {{"eps", 0.1}, LAST}, CX_TRAIN, {{0}}}, /* two chunks of time */
    {"cross_entropy", {N2(6, 5), {'i', 1, {6}, 5}}, {LAST}, CX_TRAIN, {{0}}},
    {"cross_entropy", {N3(2, 3, 19), {'i', 2, {2, 3}, 19}}, {{"label_smoothing", 0.15}, {"ignore_index", 7}, LAST}, CX_TRAIN, {{7, 2, 18, 7, 0, 1}}},
    {"cross_entropy", {N1(5), {'i', 0, {0}, 5}}, {{"reduction", 1}, LAST}, CX_TRAIN, {{0}}},
    {"mse", {N2(4, 5), N2(4, 5)}, {LAST}, CX_TRAIN, {{0}}},
    {"mse", {N2(4, 5), N2(4, 5)}, {{"reduction", 1}, LAST}, CX_TRAIN, {{0}}},
    {"mae", {K2(4, 5), {'0', 2, {4, 5}, 0}}, {{"reduction", 1}, LAST}, CX_TRAIN, {{0}}},
    {"huber", {K2(4, 5), {'0', 2, {4, 5}, 0}}, {{"delta", 0.6}, LAST}, CX_TRAIN, {{0}}},
    {"huber", {K2(4, 5), {'0', 2, {4, 5}, 0}}, {{"beta", 0.6}, {"reduction", 1}, LAST}, CX_TRAIN, {{0}}},
    {"bce_with_logits", {N2(4, 5), {'p', 2, {4, 5}, 0}}, {{"reduction", 1}, LAST}, CX_TRAIN, {{0}}},
    {"conv2d", {N4(2, 3, 6, 7), N4(4, 3, 3, 3), N1(4)}, {{"padding", 1}, LAST}, CX_TRAIN, {{0}}},
    {"conv2d", {N4(2, 3, 7, 5), N4(5, 3, 3, 2)}, {{"stride", 2}, {"padding", 1}, LAST}, CX_TRAIN, {{0}}},
    {"conv2d", {N4(2, 4, 5, 5), N4(6, 2, 3, 3), N1(6)}, {{"groups", 2}, LAST}, CX_TRAIN, {{0}}},
    {"conv2d", {N4(1, 3, 4, 6), N4(3, 1, 3, 3), N1(3)}, {{"groups", 3}, {"padding", 1}, LAST}, CX_TRAIN, {{0}}},
    {"conv2d", {N4(3, 4, 3, 5), N4(2, 4, 1, 1), N1(2)}, {LAST}, CX_TRAIN, {{0}}},
    {"conv2d", {N4(2, 4, 5, 4), N4(2, 4, 1, 1)}, {{"stride", 2}, LAST}, CX_TRAIN, {{0}}},
    {"conv2d", {N4(2, 2, 9, 8), N4(3, 2, 3, 3), N1(3)}, {{"dilation", 2}, {"padding", 2}, {"stride", 2}, LAST}, CX_TRAIN, {{0}}},
    {"conv2d", {N4(3, 2, 4, 5), N4(3, 2, 5, 5), N1(3)}, {{"padding", 2}, LAST}, CX_TRAIN, {{0}}},
    {"conv2d", {N4(2, 2, 1, 1), N4(3, 2, 3, 3), N1(3)}, {{"padding", 1}, LAST}, CX_TRAIN, {{0}}},
    {"conv2d", {N4(5, 9, 14, 14), N4(19, 9, 3, 3), N1(19)}, {{"padding", 1}, LAST}, CX_TRAIN, {{0}}},
    {"conv2d", {N4(3, 17, 5, 6), N4(18, 17, 3, 3), N1(18)}, {{"padding", 1}, LAST}, CX_TRAIN, {{0}}},
    {"maxpool2d", {D4(2, 2, 6, 4)}, {{"kernel", 2}, LAST}, CX_TRAIN, {{0}}},
    {"maxpool2d", {D4(1, 2, 5, 7)}, {{"kernel", 2}, {"stride", 2}, LAST}, CX_TRAIN, {{0}}},
    {"maxpool2d", {D4(2, 2, 7, 6)}, {{"kernel", 3}, {"stride", 2}, {"padding", 1}, LAST}, CX_TRAIN, {{0}}},
    {"maxpool2d", {D4(1, 2, 5, 7)}, {{"kernel", 3}, {"stride", 1}, LAST}, CX_TRAIN, {{0}}},
    {"avgpool2d", {N4(2, 2, 6, 4)}, {{"kernel", 2}, LAST}, CX_TRAIN, {{0}}},
    {"avgpool2d", {N4(2, 2, 7, 6)}, {{"kernel", 3}, {"stride", 2}, {"padding", 1}, LAST}, CX_TRAIN, {{0}}},
    {"avgpool2d", {N4(2, 2, 7, 6)}, {{"kernel", 3}, {"stride", 2}, {"padding", 1}, {"count_include_pad", 0}, LAST}, CX_TRAIN, {{0}}},
    {"avgpool2d", {N4(2, 3, 5, 4)}, {{"global", 1}, LAST}, CX_TRAIN, {{0}}},
    {"batchnorm", {N2(6, 5), N1(5), N1(5), N1(5), P1(5)}, {{"eps", 1e-3}, {"momentum", 0.2}, LAST}, CX_TRAIN, {{0}}},
    {"batchnorm", {N4(3, 4, 5, 7), N1(4), N1(4), N1(4), P1(4)}, {LAST}, CX_TRAIN, {{0}}},
    {"batchnorm", {N4(3, 4, 2, 3), NONE, NONE, N1(4), P1(4)}, {LAST}, CX_TRAIN, {{0}}},
    {"batchnorm", {N4(3, 4, 2, 3), N1(4), N1(4), N1(4), P1(4)}, {LAST}, CX_EVAL, {{0}}},
    {"batchnorm", {N2(6, 5), N1(5), N1(5), N1(5), P1(5)}, {LAST}, CX_EVAL, {{0}}},
    {"groupnorm", {N4(2, 6, 3, 5), N1(6), N1(6)}, {{"groups", 2}, {"eps", 1e-3}, LAST}, CX_TRAIN, {{0}}},
    {"groupnorm", {N2(4, 12)}, {{"groups", 3}, LAST}, CX_TRAIN, {{0}}},
    {"softmax", {N2(4, 37)}, {LAST}, CX_TRAIN, {{0}}},
    {"log_softmax", {N3(2, 3, 19)}, {LAST}, CX_TRAIN, {{0}}},
    {"embedding", {{'i', 2, {3, 5}, 7}, N2(7, 4)}, {LAST}, CX_TRAIN, {{0}}},
    {"rnn_tanh", {N3(4, 3, 5), N2(3, 6), N2(6, 5), N2(6, 6), N1(6), N1(6)}, {LAST}, CX_TRAIN, {{0}}},
    {"rnn_tanh", {N3(3, 2, 2), NONE, N2(17, 2), N2(17, 17), NONE, N1(17)}, {LAST}, CX_TRAIN, {{0}}},
    {"rnn_tanh", {N3(1, 1, 2), NONE, N2(3, 2), N2(3, 3)}, {LAST}, CX_TRAIN, {{0}}},
    {"rnn_relu", {N3(4, 3, 5), N2(3, 6), N2(6, 5), N2(6, 6), N1(6), N1(6)}, {LAST}, CX_TRAIN, {{0}}},
    {"rnn_relu", {N3(2, 2, 2), NONE, N2(7, 2), N2(7, 7), NONE, N1(7)}, {LAST}, CX_TRAIN, {{0}}},
    {"rnn_relu", {N3(1, 1, 2), NONE, N2(3, 2), N2(3, 3)}, {LAST}, CX_TRAIN, {{0}}},
    {"gru", {N3(4, 3, 5), N2(3, 6), N2(18, 5), N2(18, 6), N1(18), N1(18)}, {LAST}, CX_TRAIN, {{0}}},
    {"gru", {N3(3, 2, 2), NONE, N2(51, 2), N2(51, 17), NONE, N1(51)}, {LAST}, CX_TRAIN, {{0}}},
    {"gru", {N3(1, 1, 2), NONE, N2(9, 2), N2(9, 3)}, {LAST}, CX_TRAIN, {{0}}},
    {"lstm", {N3(4, 3, 5), N2(3, 6), N2(24, 5), N2(24, 6), N1(24), N1(24), N2(3, 6)}, {LAST}, CX_TRAIN, {{0}}},
    {"lstm", {N3(3, 2, 2), NONE, N2(68, 2), N2(68, 17), NONE, N1(68)}, {LAST}, CX_TRAIN, {{0}}},
    {"lstm", {N3(1, 1, 2), NONE, N2(12, 2), N2(12, 3)}, {LAST}, CX_TRAIN, {{0}}},
    /* several chunks of time, the last one shorter */
    {"rnn_tanh", {N3(5, 70, 2), N2(70, 3), N2(3, 2), N2(3, 3), N1(3), N1(3)}, {LAST}, CX_TRAIN, {{0}}},
    {"gru", {N3(5, 70, 2), N2(70, 3), N2(9, 2), N2(9, 3), N1(9), N1(9)}, {LAST}, CX_TRAIN, {{0}}},
    {"gru", {N3(3, 129, 1), NONE, N2(6, 1), N2(6, 2), NONE, N1(6)}, {LAST}, CX_TRAIN, {{0}}},
    {"lstm", {N3(5, 70, 2), N2(70, 3), N2(12, 2), N2(12, 3), N1(12), N1(12), N2(70, 3)}, {LAST}, CX_TRAIN, {{0}}},
    {"causal_attention", {N3(2, 5, 8), N2(24, 8), N1(24), N2(8, 8), N1(8)}, {{"heads", 2}, LAST}, CX_TRAIN, {{0}}},
    {"causal_attention", {N3(1, 19, 6), N2(18, 6), NONE, N2(6, 6)}, {{"heads", 3}, LAST}, CX_TRAIN, {{0}}},
    {"causal_attention", {N3(2, 1, 4), N2(12, 4), N1(12), N2(4, 4), N1(4)}, {LAST}, CX_TRAIN, {{0}}},
    {"ctc", {N3(8, 3, 5), {'i', 2, {3, 4}, 5}, {'i', 1, {3}, 9}, {'i', 1, {3}, 5}}, {LAST}, CX_TRAIN, {{1, 2, 3, 4, 2, 2, 0, 0, 3, 1, 3, 0}, {8, 5, 7}, {4, 2, 3}}},
    {"ctc", {N3(6, 3, 4), {'i', 2, {3, 3}, 4}, {'i', 1, {3}, 7}, {'i', 1, {3}, 4}}, {{"reduction", 1}, {"blank", 2}, {"zero_infinity", 1}, LAST}, CX_TRAIN, {{1, 1, 1, 0, 0, 0, 3, 3, 0}, {6, 4, 2}, {3, 0, 2}}},
};
/* clang-format on */
