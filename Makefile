# coxswain. `make quickstart` and `make test` are all that a newcomer types.
#
#   make                 build/coxswain, build/libcoxswain.a, build/libcoxswain.so
#   make quickstart      packages, build, a short meta-training on real data, a report
#   make test            packages, build, every test (under 15 minutes on 2 cores)
#   make test-long       the longer checks
#   make bench           the project's own measurements
#   make scale           a run on 64 to 4,096 ranks in simulated time (needs SimGrid)
#   make fuzz            libFuzzer over every parser (needs clang), FUZZ_SECONDS=60 each; FUZZ="idx bpe"
#   make check-floors    proves that no folder includes one above it
#   make format          clang-format over all sources
#   make install PREFIX=/usr/local DESTDIR=
#
# On x86-64 the kernels are in the program once for each level of the instruction set and the
# best that the machine has is chosen at start (src/base/level.h); everything else needs
# x86-64-v2. ARCH=native (or any -march=) builds for one kind of machine alone.

CC      ?= cc
LD      ?= ld
OBJCOPY ?= objcopy
ARCH    ?=
PREFIX  ?= /usr/local
BUILD   ?= build
VERSION := 0.1.0

WARN    := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-float-conversion \
           -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror=implicit-function-declaration
# no -ffast-math: a diverged run must be seen as NaN
ifneq ($(ARCH),)
LEVELS  := single
SINGLE  := $(ARCH)
MARCH   := -march=$(ARCH)
else ifneq ($(filter x86_64-%,$(shell $(CC) -dumpmachine)),)
LEVELS  := v2 v3 v4
MARCH   := -march=x86-64-v2
else
LEVELS  := single
SINGLE  := generic
MARCH   :=
endif
SINGLE  ?= generic
MARCH_single := $(MARCH)
# of one-lane vectors the compiler believes that they are never set
MARCH_plain  := $(MARCH) -DCX_PLAIN -Wno-maybe-uninitialized
$(foreach l,v2 v3 v4,$(eval MARCH_$(l) := -march=x86-64-$(l)))
TEST_LEVELS := plain $(LEVELS)
# what base/level.h reads: $(1) is a list of levels
with_levels = -D'CX_LEVELS(X,...)=$(foreach l,$(1),X($(l),__VA_ARGS__))' -DCX_SINGLE_NAME='"$(SINGLE)"'

OPT     := -O3 -fno-math-errno -fno-trapping-math
CFLAGS  ?= -g
COMMON  := -std=c17 -D_GNU_SOURCE -Isrc -I. -DCX_VERSION='"$(VERSION)"' \
           -DCX_BUILD_FLAGS='"$(OPT) $(MARCH)"' $(WARN) -MMD -MP
LIBS    := -lopenblas -lyaml -ljansson -lxxhash -lz -lpcre2-8 -ljpeg -lpng -lsndfile -lkissfft-float -lm
SAN     := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined \
           -fno-omit-frame-pointer
MPI_CFLAGS = $(shell pkg-config --cflags ompi-c 2>/dev/null | sed 's/-I/-isystem /g')
MPI_LIBS   = $(shell pkg-config --libs ompi-c 2>/dev/null)

MPI_SRC := src/wire/mpi.c
# compiled once for each level; of nn/ that is every file but these
NN_ONCE := $(addprefix src/nn/,graph.c run.c replay.c op_lookup.c)
NN_KERNELS := $(filter-out $(NN_ONCE),$(sort $(wildcard src/nn/*.c)))
KERNELS := $(NN_KERNELS) src/data/image_kernels.c src/optim/kernels.c src/policy/acting.c src/tasks/nqm_kernels.c
LIB_SRC := $(filter-out $(MPI_SRC) $(KERNELS),$(sort $(wildcard src/*/*.c)))
RUN_SRC := $(sort $(wildcard workers/*.c coordinator/*.c))
CLI_SRC := $(sort $(wildcard cli/*.c))
# of cli/, what tests and fuzzers are linked with
LAUNCH_SRC := cli/nodes.c cli/launch_news.c
DBL_SRC := $(sort $(wildcard src/base/*.c)) $(NN_ONCE)

LIB_OBJ := $(LIB_SRC:%.c=$(BUILD)/o/%.o) $(LEVELS:%=$(BUILD)/o/kernels-%.o)
RUN_OBJ := $(RUN_SRC:%.c=$(BUILD)/o/%.o)
CLI_OBJ := $(CLI_SRC:%.c=$(BUILD)/o/%.o)
MPI_OBJ := $(MPI_SRC:%.c=$(BUILD)/o/%.o)
SAN_OBJ := $(LIB_SRC:%.c=$(BUILD)/san/%.o) $(RUN_SRC:%.c=$(BUILD)/san/%.o) \
           $(TEST_LEVELS:%=$(BUILD)/san/kernels-%.o)
DBL_OBJ := $(DBL_SRC:%.c=$(BUILD)/double/%.o) $(TEST_LEVELS:%=$(BUILD)/double/kernels-%.o)

# tests/fuzz: one fuzz_NAME.c per parser, and what they share; engine.c is libFuzzer's side
FUZZ_SRC := $(filter-out tests/fuzz/test_% tests/fuzz/engine.c,$(sort $(wildcard tests/fuzz/*.c))) \
            $(LAUNCH_SRC)
FUZZ     ?= $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_SECONDS ?= 60
FUZZ_CC  ?= clang
FUZZ_OBJ := $(patsubst %.c,$(BUILD)/fuzz/o/%.o,$(LIB_SRC) $(RUN_SRC) $(filter-out tests/fuzz/fuzz_%,$(FUZZ_SRC)) \
            tests/fuzz/fuzz.c) $(BUILD)/fuzz/kernels-plain.o

# tests/nn/double_*.c are linked with the network engine in double precision
DBL_TESTS  := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/*/double_*.c)))
UNIT_TESTS := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/*/test_*.c)))

.PHONY: all quickstart test test-unit test-program test-long bench scale fuzz packages packages-test check-floors check-format \
        format install clean
all: $(BUILD)/coxswain $(BUILD)/libcoxswain.a $(BUILD)/libcoxswain.so

FLAGS_o      = $(COMMON) $(OPT) -fPIC $(CFLAGS)
FLAGS_san    = $(COMMON) $(SAN) -fPIC
FLAGS_double = $(COMMON) -DCX_REAL_DOUBLE -O1 -g -fPIC
$(BUILD)/o/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(CC) $(FLAGS_o) $(MARCH) $(call with_levels,$(LEVELS)) $(if $(findstring wire/mpi,$<),$(MPI_CFLAGS)) -c $< -o $@
$(BUILD)/san/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  SAN   $<"
	@$(CC) $(FLAGS_san) $(MARCH) $(call with_levels,$(TEST_LEVELS)) -c $< -o $@
$(BUILD)/double/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  DBL   $<"
	@$(CC) $(FLAGS_double) $(MARCH) $(call with_levels,$(TEST_LEVELS)) -c $< -o $@

# $(1): o, san or double; $(2): level; $(3): sources. One object, of which only tables are seen.
define kernels
$(BUILD)/$(1)/$(2)/%.o: %.c Makefile
	@mkdir -p $$(@D)
	@echo "  $(2)    $$<"
	@$$(CC) $$(FLAGS_$(1)) $$(MARCH_$(2)) -DCX_LEVEL=$(2) -c $$< -o $$@
$(BUILD)/$(1)/kernels-$(2).o: $(3:%.c=$(BUILD)/$(1)/$(2)/%.o)
	@echo "  LD    $$@"
	@$$(LD) -r -o $$@ $$^
	@$$(OBJCOPY) -w --keep-global-symbol='*_at_$(2)' $$@
endef
$(foreach l,$(LEVELS),$(eval $(call kernels,o,$(l),$(KERNELS))))
$(foreach l,$(TEST_LEVELS),$(eval $(call kernels,san,$(l),$(KERNELS))))
$(foreach l,$(TEST_LEVELS),$(eval $(call kernels,double,$(l),$(NN_KERNELS))))

$(BUILD)/libcoxswain.a: $(LIB_OBJ)
	@rm -f $@
	@echo "  AR    $@"
	@ar rcs $@ $^
$(BUILD)/libcoxswain.so: $(LIB_OBJ)
	@echo "  LD    $@"
	@$(CC) -shared -o $@ $^ $(LIBS)
# shared, so that a change in the library does not link every test anew
$(BUILD)/libsan.so: $(SAN_OBJ)
	@echo "  LD    $@"
	@$(CC) $(SAN) -shared -o $@ $^ $(LIBS)
$(BUILD)/libdouble.so: $(DBL_OBJ)
	@echo "  LD    $@"
	@$(CC) -shared -o $@ $^ $(LIBS)
$(BUILD)/coxswain: $(CLI_OBJ) $(RUN_OBJ) $(MPI_OBJ) $(BUILD)/libcoxswain.a
	@echo "  LD    $@"
	@$(CC) $(OPT) -o $@ $^ $(LIBS) $(MPI_LIBS)

$(BUILD)/tests/%: tests/%.c | $(BUILD)/libsan.so
	@mkdir -p $(@D)
	@echo "  TEST  $<"
	@$(CC) $(COMMON) $(SAN) $(MARCH) $(call with_levels,$(TEST_LEVELS)) $< $(filter %.o,$^) -o $@ -L$(BUILD) -lsan -Wl,-rpath,'$$ORIGIN/../..' $(LIBS) -lcmocka
$(BUILD)/tests/fuzz/test_corpus: $(FUZZ_SRC:%.c=$(BUILD)/san/%.o)
$(BUILD)/tests/cli/test_nodes $(BUILD)/tests/cli/test_launch_news: $(LAUNCH_SRC:%.c=$(BUILD)/san/%.o)
$(DBL_TESTS): $(BUILD)/tests/%: tests/%.c | $(BUILD)/libdouble.so
	@mkdir -p $(@D)
	@echo "  TEST  $<"
	@$(CC) $(COMMON) -DCX_REAL_DOUBLE -O1 -g $(MARCH) $(call with_levels,$(TEST_LEVELS)) $< -o $@ -L$(BUILD) -ldouble -Wl,-rpath,'$$ORIGIN/../..' $(LIBS) -lcmocka

packages:
	@./scripts/packages
packages-test:
	@./scripts/packages test

quickstart: packages
	@$(MAKE) --no-print-directory -j2 all
	@./scripts/quickstart

test: packages-test
	@$(MAKE) --no-print-directory -j2 all
	@$(MAKE) --no-print-directory check-floors
	@$(MAKE) --no-print-directory test-unit
	@$(MAKE) --no-print-directory test-program
test-unit: 
	@$(MAKE) --no-print-directory -j2 $(BUILD)/libsan.so $(BUILD)/libdouble.so $(UNIT_TESTS) $(DBL_TESTS)
	@./scripts/run-tests $(UNIT_TESTS) $(DBL_TESTS)
test-program: all
	@./scripts/run-tests $(sort $(wildcard tests/*/test_*.sh))
test-long: # without valgrind its test is skipped
	@./scripts/packages valgrind || ./scripts/packages
	@$(MAKE) --no-print-directory -j2 all
	@./scripts/run-tests $(sort $(wildcard tests/*/long_*.sh))

bench: all
	@./bench/run

# docs/scaling.md. The simulation is the coordinator, the workers' message side and the MPI
# transport, compiled against SimGrid's MPI where they call it, and models of the rest
SCALE_OBJ := $(patsubst %,$(BUILD)/o/%.o,$(addprefix coordinator/,coordinator learn assign crew watch dispatch queue \
             checkpoint run_dir progress) workers/worker bench/scale/model_worker bench/scale/model_learner bench/scale/model_shards bench/scale/times_read)
SMPI_OBJ  := $(patsubst %,$(BUILD)/smpi/%.o,src/wire/mpi src/base/clock bench/scale/sim)
$(BUILD)/smpi/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  SMPI  $<"
	@smpicc -include mpi.h $(filter-out -Wvla -Wpedantic,$(COMMON)) -O2 -g -fPIC -c $< -o $@
$(BUILD)/scale/sim: $(SMPI_OBJ) $(SCALE_OBJ) $(BUILD)/libcoxswain.a
	@mkdir -p $(@D)
	@smpicc -o $@ $^ $(LIBS)
$(BUILD)/scale/cost: $(BUILD)/o/bench/scale/cost.o $(SCALE_OBJ) $(BUILD)/libcoxswain.a
	@mkdir -p $(@D)
	@$(CC) -o $@ $^ $(LIBS)
$(BUILD)/scale/times: $(BUILD)/o/bench/scale/times.o $(BUILD)/o/workers/inner_run.o $(BUILD)/libcoxswain.a
	@mkdir -p $(@D)
	@$(CC) -o $@ $^ $(LIBS)
scale: $(BUILD)/scale/cost $(BUILD)/scale/times
	@command -v smpicc >/dev/null || { echo "scale: SimGrid is not here (Debian: libsimgrid-dev)"; exit 1; }
	@$(MAKE) --no-print-directory $(BUILD)/scale/sim
	@./bench/scale/run

# -w: the ordinary compiler is the one that warns. Kernels parse nothing: no coverage of them.
FLAGS_fuzz = $(COMMON) $(SAN) -w -include tests/fuzz/clang.h
$(BUILD)/fuzz/o/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  FUZZ  $<"
	@$(FUZZ_CC) $(FLAGS_fuzz) $(MARCH) $(call with_levels,plain) -fsanitize=fuzzer-no-link -c $< -o $@
$(BUILD)/fuzz/plain/%.o: CC = $(FUZZ_CC)
$(eval $(call kernels,fuzz,plain,$(KERNELS)))
$(BUILD)/fuzz/lib.a: $(FUZZ_OBJ)
	@rm -f $@
	@ar rcs $@ $^
$(BUILD)/fuzz/fuzz_%: $(BUILD)/fuzz/o/tests/fuzz/fuzz_%.o tests/fuzz/engine.c $(BUILD)/fuzz/lib.a
	@echo "  LD    $@"
	@$(FUZZ_CC) -std=c17 -Isrc -I. -w $(SAN) -fsanitize=fuzzer -DFUZZ_TARGET=fuzz_target_$* \
	    tests/fuzz/engine.c $< $(BUILD)/fuzz/lib.a -o $@ $(LIBS) -lcmocka
.PRECIOUS: $(BUILD)/fuzz/o/%.o
fuzz:
	@./scripts/packages clang libclang-rt-14-dev
	@$(MAKE) --no-print-directory -j2 $(FUZZ:%=$(BUILD)/fuzz/fuzz_%)
	@./scripts/fuzz $(BUILD)/fuzz $(FUZZ_SECONDS) $(FUZZ)

check-floors:
	@./scripts/check-floors
check-format:
	@clang-format --dry-run --Werror $(shell git ls-files '*.c' '*.h')
format:
	@clang-format -i $(shell git ls-files '*.c' '*.h')

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib \
	    $(DESTDIR)$(PREFIX)/share/coxswain/configs/eval $(DESTDIR)$(PREFIX)/share/coxswain/slurm
	install -m 755 $(BUILD)/coxswain $(DESTDIR)$(PREFIX)/bin/
	install -m 644 $(BUILD)/libcoxswain.a $(DESTDIR)$(PREFIX)/lib/
	install -m 755 $(BUILD)/libcoxswain.so $(DESTDIR)$(PREFIX)/lib/
	install -m 644 configs/*.yaml $(DESTDIR)$(PREFIX)/share/coxswain/configs/
	install -m 644 configs/eval/*.yaml $(DESTDIR)$(PREFIX)/share/coxswain/configs/eval/
	install -m 644 slurm/* $(DESTDIR)$(PREFIX)/share/coxswain/slurm/

clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD) -type f -name '*.d' 2>/dev/null)
