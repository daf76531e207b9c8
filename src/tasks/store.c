#include "tasks/family.h"
#include <stdlib.h>

static int open_sets(const cx_config *config, cx_data_store *store, cx_error *err) {
    cx_image_want wants[CX_IMAGE_SETS][CX_IMAGE_WANTS_MAX];
    int n[CX_IMAGE_SETS] = {0};
    for (int i = 0; i < config->n_tasks; i++) {
        if (cx_task_family_at((int)config->tasks[i].family) != &cx_family_images)
            continue;
        int rc = cx_family_images_wants(config, i, wants, n, err);
        if (rc)
            return rc;
    }
    for (int s = 0; s < CX_IMAGE_SETS; s++) {
        const char *path = cx_image_set_path(config, s);
        if (n[s] == 0)
            continue;
        if (path[0] == 0)
            return cx_fail(err, CX_ECONFIG,
                           "data.%s is empty, but a task uses it: the folder with its four IDX "
                           "files is right",
                           cx_image_set_words[s]);
        int rc = cx_images_open(path, config->data.validation_examples, wants[s], n[s],
                                &store->images[s], err);
        if (rc)
            return cx_fail_in(err, "data.%s", cx_image_set_words[s]);
    }
    return CX_OK;
}

int cx_data_store_open(const cx_config *config, cx_data_store **out, cx_error *err) {
    *out = NULL;
    cx_data_store *store = calloc(1, sizeof *store);
    if (!store)
        return cx_fail(err, CX_ENOMEM, "no memory for the data sets");
    int rc = open_sets(config, store, err);
    if (rc) {
        cx_data_store_close(store);
        return rc;
    }
    *out = store;
    return CX_OK;
}

void cx_data_store_close(cx_data_store *store) {
    if (!store)
        return;
    for (int s = 0; s < CX_IMAGE_SETS; s++)
        cx_images_close(store->images[s]);
    free(store);
}
