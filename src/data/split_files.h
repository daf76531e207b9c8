/* The files of a folder that are its training (0), validation (1) and test (2) split: those
 * with a word of it in their names ("train", "training"; "valid", "validation", "val",
 * "dev"; "test", "testing"; in any case, letters around it being another word). */
#ifndef CX_DATA_SPLIT_FILES_H
#define CX_DATA_SPLIT_FILES_H

#include "base/error.h"
#include <limits.h>

enum { CX_SPLIT_FILES = 3 };

/* path [CX_SPLIT_FILES][PATH_MAX]. Hidden files and folders in it are passed over. A split without
 * a file has an empty path; of a file and the same one gzipped the plain one is taken. CX_EDATA: no
 * such folder, no training file, two files of one split, a name with words of two. */
int cx_split_files_find(const char *folder, char path[][PATH_MAX], cx_error *err);

#endif
