/* The table of operators, of one level of the instruction set. */
#include "nn/ops.h"
#include "base/level.h"

#define R(n)                                                                                       \
    { n, CX_IN_REAL, false }
#define R_OPT(n)                                                                                   \
    { n, CX_IN_REAL, true }
#define DATA(n)                                                                                    \
    { n, CX_IN_DATA, false }
#define INT(n)                                                                                     \
    { n, CX_IN_INT, false }
#define F(f) .shape = f##_shape, .forward = f##_forward, .backward = f##_backward
#define ACT(f) .shape = cx_shape_same, .forward = f##_forward, .backward = f##_backward
#define BIG 1e30
#define DIM(n)                                                                                     \
    { n, 0, -1, 2147483647.0, true }

/* 0: mean, 1: sum */
#define REDUCTION                                                                                  \
    { "reduction", 0, 0, 1, true }
#define STATE(n)                                                                                   \
    { n, CX_IN_STATE, false }
#define COUNT(n, value)                                                                            \
    { n, value, 0, 4096, true }

/* clang-format off */
CX_TABLE_AT_LEVEL(cx_op, cx_op_table) = {
    {"linear", {R("x"), R("w"), R_OPT("b")}, {"y"}, {{0}}, F(cx_linear)},
    {"act_relu", {R("x")}, {"y"}, {{0}}, ACT(cx_relu), .in_place = true, .reads_output = true},
    {"act_leaky_relu", {R("x")}, {"y"}, {{"slope", 0.01, 0, BIG, false}}, ACT(cx_leaky_relu), .in_place = true, .reads_output = true},
    {"act_elu", {R("x")}, {"y"}, {{"alpha", 1, 0, BIG, false}}, ACT(cx_elu), .in_place = true, .reads_output = true},
    {"act_celu", {R("x")}, {"y"}, {{"alpha", 1, 1e-30, BIG, false}}, ACT(cx_celu), .in_place = true, .reads_output = true},
    {"act_tanh", {R("x")}, {"y"}, {{0}}, ACT(cx_tanh_act), .in_place = true, .reads_output = true},
    {"act_sigmoid", {R("x")}, {"y"}, {{0}}, ACT(cx_sigmoid_act), .in_place = true, .reads_output = true},
    {"act_silu", {R("x")}, {"y"}, {{0}}, ACT(cx_silu)},
    {"act_gelu_erf", {R("x")}, {"y"}, {{0}}, ACT(cx_gelu_erf)},
    {"act_gelu_tanh", {R("x")}, {"y"}, {{0}}, ACT(cx_gelu_tanh)},
    {"act_prelu", {R("x"), R("a")}, {"y"}, {{0}}, F(cx_prelu)},
    {"act_rrelu", {R("x")}, {"y"}, {{"lower", 1.0 / 8, -BIG, BIG, false}, {"upper", 1.0 / 3, -BIG, BIG, false}}, F(cx_rrelu), .in_place = true, .draws = true},
    {"dropout", {R("x")}, {"y"}, {{"p", 0.5, 0, 0.9999, false}}, F(cx_dropout), .in_place = true, .draws = true},
    {"scale", {R("x")}, {"y"}, {{"factor", 1, -BIG, BIG, false}}, ACT(cx_scale), .in_place = true},
    {"add", {R("a"), R("b")}, {"y"}, {{0}}, F(cx_add), .takes_relu = cx_add_takes_relu},
    {"mul", {R("a"), R("b")}, {"y"}, {{0}}, F(cx_mul)},
    {"reshape", {R("x")}, {"y"}, {DIM("d0"), DIM("d1"), DIM("d2"), DIM("d3")}, F(cx_reshape), .in_place = true},
    {"flatten", {R("x")}, {"y"}, {{"keep", 1, 0, CX_RANK_MAX - 1, true}}, F(cx_flatten), .in_place = true},
    {"stop_gradient", {DATA("x")}, {"y"}, {{0}}, .shape = cx_shape_same, .forward = cx_stop_gradient_forward},
    {"concat", {R("a"), R("b"), R_OPT("c"), R_OPT("d"), R_OPT("e"), R_OPT("f"), R_OPT("g"), R_OPT("h")}, {"y"}, {{0}}, F(cx_concat)},
    {"layernorm", {R("x"), R_OPT("w"), R_OPT("b")}, {"y"}, {{"eps", 1e-5, 0, 1, false}, {"dims", 1, 1, CX_RANK_MAX, true}}, F(cx_layernorm)},
    {"lstm_layernorm", {R("x"), R_OPT("h0"), R_OPT("c0"), R("w_ih"), R("w_hh"), R("g1"), R("b1"), R("g2"), R("b2"), R("g3"), R("b3")}, {"y", "h", "c"}, {{"eps", 1e-5, 0, 1, false}}, F(cx_lstm_layernorm), .reads_output = true},
    {"cross_entropy", {R("x"), INT("target")}, {"y"}, {{"label_smoothing", 0, 0, 1, false}, {"ignore_index", -100, -2147483648.0, 2147483647.0, true}, REDUCTION}, F(cx_cross_entropy), .check = cx_cross_entropy_check},
    {"mse", {R("x"), DATA("target")}, {"y"}, {REDUCTION}, F(cx_mse)},
    {"mae", {R("x"), DATA("target")}, {"y"}, {REDUCTION}, F(cx_mae)},
    {"huber", {R("x"), DATA("target")}, {"y"}, {{"delta", 1, 1e-30, BIG, false}, {"beta", 1, 1e-30, BIG, false}, REDUCTION}, F(cx_huber)},
    {"bce_with_logits", {R("x"), DATA("target")}, {"y"}, {REDUCTION}, F(cx_bce_with_logits)},
    {"conv2d", {R("x"), R("w"), R_OPT("b")}, {"y"}, {{"stride", 1, 1, 4096, true}, COUNT("padding", 0), {"groups", 1, 1, 65536, true}, {"dilation", 1, 1, 4096, true}}, F(cx_conv2d)},
    {"maxpool2d", {R("x")}, {"y"}, {{"kernel", 2, 1, 4096, true}, COUNT("stride", 0), COUNT("padding", 0)}, F(cx_maxpool2d), .takes_relu = cx_takes_relu, .relu_first = true},
    {"avgpool2d", {R("x")}, {"y"}, {{"kernel", 2, 1, 4096, true}, COUNT("stride", 0), COUNT("padding", 0), {"global", 0, 0, 1, true}, {"count_include_pad", 1, 0, 1, true}}, F(cx_avgpool2d)},
    {"batchnorm", {R("x"), R_OPT("w"), R_OPT("b"), STATE("running_mean"), STATE("running_var")}, {"y"}, {{"eps", 1e-5, 0, 1, false}, {"momentum", 0.1, 0, 1, false}}, F(cx_batchnorm), .takes_relu = cx_takes_relu},
    {"groupnorm", {R("x"), R_OPT("w"), R_OPT("b")}, {"y"}, {{"eps", 1e-5, 0, 1, false}, {"groups", 1, 1, 65536, true}}, F(cx_groupnorm)},
    {"softmax", {R("x")}, {"y"}, {{0}}, F(cx_softmax), .in_place = true, .reads_output = true},
    {"log_softmax", {R("x")}, {"y"}, {{0}}, F(cx_log_softmax), .in_place = true, .reads_output = true},
    {"embedding", {INT("idx"), R("w")}, {"y"}, {{0}}, F(cx_embedding), .check = cx_embedding_check},
    {"rnn_tanh", {R("x"), R_OPT("h0"), R("w_ih"), R("w_hh"), R_OPT("b_ih"), R_OPT("b_hh")}, {"y", "h"}, {{0}}, F(cx_recurrent), .reads_output = true},
    {"rnn_relu", {R("x"), R_OPT("h0"), R("w_ih"), R("w_hh"), R_OPT("b_ih"), R_OPT("b_hh")}, {"y", "h"}, {{0}}, F(cx_recurrent), .reads_output = true},
    {"gru", {R("x"), R_OPT("h0"), R("w_ih"), R("w_hh"), R_OPT("b_ih"), R_OPT("b_hh")}, {"y", "h"}, {{0}}, F(cx_recurrent), .reads_output = true},
    {"lstm", {R("x"), R_OPT("h0"), R("w_ih"), R("w_hh"), R_OPT("b_ih"), R_OPT("b_hh"), R_OPT("c0")}, {"y", "h", "c"}, {{0}}, F(cx_recurrent), .reads_output = true},
    {"causal_attention", {R("x"), R("wqkv"), R_OPT("bqkv"), R("wo"), R_OPT("bo")}, {"y", "attn"}, {{"heads", 1, 1, 65536, true}}, F(cx_causal_attention), .reads_output = true},
    {"ctc", {R("x"), INT("targets"), INT("input_lengths"), INT("target_lengths")}, {"loss", "nll"}, {REDUCTION, COUNT("blank", 0), {"zero_infinity", 0, 0, 1, true}}, F(cx_ctc), .check = cx_ctc_check},
    {.name = NULL},
};
/* clang-format on */
