# coxswain. `make quickstart` and `make test` are all that a newcomer types.
#
#   make                 build/coxswain, build/libcoxswain.a, build/libcoxswain.so
#   make quickstart      packages, build, a short meta-training on real data, a report
#   make test            packages, build, every test (under 15 minutes on 2 cores)
#   make test-long       the longer checks
#   make bench           the project's own measurements
#   make fuzz            libFuzzer over every parser (needs clang), FUZZ_SECONDS=60 each; FUZZ="idx bpe"
#   make check-floors    proves that no folder includes one above it
#   make format          clang-format over all sources
#   make install PREFIX=/usr/local DESTDIR=
#
# ARCH=native builds for this machine alone; ARCH=x86-64-v3 for a mixed cluster.

CC      ?= cc
ARCH    ?= native
PREFIX  ?= /usr/local
BUILD   ?= build
VERSION := 0.1.0

WARN    := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-float-conversion \
           -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror=implicit-function-declaration
# no -ffast-math: a diverged run must be seen as NaN
OPT     := -O3 -march=$(ARCH) -fno-math-errno -fno-trapping-math
CFLAGS  ?= -g
COMMON  := -std=c17 -D_GNU_SOURCE -Isrc -I. -DCX_VERSION='"$(VERSION)"' -DCX_BUILD_FLAGS='"$(OPT)"' $(WARN) -MMD -MP
LIBS    := -lopenblas -lyaml -ljansson -lxxhash -lz -lpcre2-8 -ljpeg -lpng -lsndfile -lkissfft-float -lm
SAN     := -O1 -g -march=$(ARCH) -fsanitize=address,undefined -fno-sanitize-recover=undefined \
           -fno-omit-frame-pointer
MPI_CFLAGS = $(shell pkg-config --cflags ompi-c 2>/dev/null | sed 's/-I/-isystem /g')
MPI_LIBS   = $(shell pkg-config --libs ompi-c 2>/dev/null)

MPI_SRC := src/wire/mpi.c
LIB_SRC := $(filter-out $(MPI_SRC),$(sort $(wildcard src/*/*.c)))
RUN_SRC := $(sort $(wildcard workers/*.c coordinator/*.c))
CLI_SRC := $(sort $(wildcard cli/*.c))
NN_SRC  := $(sort $(wildcard src/base/*.c src/nn/*.c))

LIB_OBJ := $(LIB_SRC:%.c=$(BUILD)/o/%.o)
RUN_OBJ := $(RUN_SRC:%.c=$(BUILD)/o/%.o)
CLI_OBJ := $(CLI_SRC:%.c=$(BUILD)/o/%.o)
MPI_OBJ := $(MPI_SRC:%.c=$(BUILD)/o/%.o)
SAN_OBJ := $(LIB_SRC:%.c=$(BUILD)/san/%.o) $(RUN_SRC:%.c=$(BUILD)/san/%.o)
DBL_OBJ := $(NN_SRC:%.c=$(BUILD)/double/%.o)

# tests/fuzz: one fuzz_NAME.c per parser, and what they share; engine.c is libFuzzer's side
FUZZ_SRC := $(filter-out tests/fuzz/test_% tests/fuzz/engine.c,$(sort $(wildcard tests/fuzz/*.c)))
FUZZ     ?= $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_SECONDS ?= 60
FUZZ_CC  ?= clang
FUZZ_SAN := -O1 -g -march=$(ARCH) -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
FUZZ_OBJ := $(LIB_SRC:%.c=$(BUILD)/fuzz/o/%.o) $(RUN_SRC:%.c=$(BUILD)/fuzz/o/%.o) \
            $(patsubst %.c,$(BUILD)/fuzz/o/%.o,$(filter-out tests/fuzz/fuzz_%,$(FUZZ_SRC))) $(BUILD)/fuzz/o/tests/fuzz/fuzz.o

# tests/nn/double_*.c are linked with the network engine in double precision
DBL_TESTS  := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/*/double_*.c)))
UNIT_TESTS := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/*/test_*.c)))

.PHONY: all quickstart test test-unit test-program test-long bench fuzz packages check-floors check-format \
        format install clean
all: $(BUILD)/coxswain $(BUILD)/libcoxswain.a $(BUILD)/libcoxswain.so

$(BUILD)/o/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(CC) $(COMMON) $(OPT) -fPIC $(CFLAGS) $(if $(findstring wire/mpi,$<),$(MPI_CFLAGS)) -c $< -o $@
$(BUILD)/san/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  SAN   $<"
	@$(CC) $(COMMON) $(SAN) -fPIC -c $< -o $@
$(BUILD)/double/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  DBL   $<"
	@$(CC) $(COMMON) -DCX_REAL_DOUBLE -O1 -g -fPIC -c $< -o $@

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
	@$(CC) $(COMMON) $(SAN) $< $(filter %.o,$^) -o $@ -L$(BUILD) -lsan -Wl,-rpath,'$$ORIGIN/../..' $(LIBS) -lcmocka
$(BUILD)/tests/fuzz/test_corpus: $(FUZZ_SRC:%.c=$(BUILD)/san/%.o)
$(DBL_TESTS): $(BUILD)/tests/%: tests/%.c | $(BUILD)/libdouble.so
	@mkdir -p $(@D)
	@echo "  TEST  $<"
	@$(CC) $(COMMON) -DCX_REAL_DOUBLE -O1 -g $< -o $@ -L$(BUILD) -ldouble -Wl,-rpath,'$$ORIGIN/../..' $(LIBS) -lcmocka

packages:
	@./scripts/packages

quickstart: packages
	@$(MAKE) --no-print-directory -j2 all
	@./scripts/quickstart

test: packages
	@$(MAKE) --no-print-directory -j2 all
	@$(MAKE) --no-print-directory check-floors
	@$(MAKE) --no-print-directory test-unit
	@$(MAKE) --no-print-directory test-program
test-unit: 
	@$(MAKE) --no-print-directory -j2 $(BUILD)/libsan.so $(BUILD)/libdouble.so $(UNIT_TESTS) $(DBL_TESTS)
	@./scripts/run-tests $(UNIT_TESTS) $(DBL_TESTS)
test-program: all
	@./scripts/run-tests $(sort $(wildcard tests/*/test_*.sh))
test-long: packages
	@$(MAKE) --no-print-directory -j2 all
	@./scripts/run-tests $(sort $(wildcard tests/*/long_*.sh))

bench: all
	@./bench/run

# -w: the ordinary compiler is the one that warns
$(BUILD)/fuzz/o/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  FUZZ  $<"
	@$(FUZZ_CC) $(COMMON) -w -include tests/fuzz/clang.h $(FUZZ_SAN) -fsanitize=fuzzer-no-link -c $< -o $@
$(BUILD)/fuzz/lib.a: $(FUZZ_OBJ)
	@rm -f $@
	@ar rcs $@ $^
$(BUILD)/fuzz/fuzz_%: $(BUILD)/fuzz/o/tests/fuzz/fuzz_%.o tests/fuzz/engine.c $(BUILD)/fuzz/lib.a
	@echo "  LD    $@"
	@$(FUZZ_CC) -std=c17 -Isrc -I. -w $(FUZZ_SAN) -fsanitize=fuzzer -DFUZZ_TARGET=fuzz_target_$* \
	    tests/fuzz/engine.c $< $(BUILD)/fuzz/lib.a -o $@ $(LIBS) -lcmocka
.PRECIOUS: $(BUILD)/fuzz/o/%.o
fuzz:
	@command -v $(FUZZ_CC) >/dev/null || { echo "make fuzz needs $(FUZZ_CC) with libFuzzer (Debian: clang, libclang-rt-14-dev)"; exit 1; }
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
