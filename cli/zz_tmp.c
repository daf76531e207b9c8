#include "cli/command.h"
int cx_cmd_bench(int a,char**b){(void)a;(void)b;return 0;}
