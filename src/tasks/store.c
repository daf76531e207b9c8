#include "tasks/family.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DATA_MAX = 32 };

struct cx_data_store {
    struct {
        const cx_task_family *family;
        char name[48];
        void *data;
        void (*close)(void *data);
    } item[DATA_MAX];
    int n;
};

bool cx_entry_is(const cx_config *config, int i, const cx_task_family *family) {
    return cx_task_family_at((int)config->tasks[i].family) == family;
}

int cx_data_store_put(cx_data_store *store, const cx_task_family *family, const char *name,
                      void *data, void (*close)(void *data), cx_error *err) {
    if (store->n == DATA_MAX || strlen(name) >= sizeof store->item[0].name) {
        close(data);
        return cx_fail(err, CX_ECONFIG,
                       "data set %s: more than %d data sets in one configuration, or a name of "
                       "more than %zu letters",
                       name, DATA_MAX, sizeof store->item[0].name - 1);
    }
    store->item[store->n].family = family;
    store->item[store->n].data = data;
    store->item[store->n].close = close;
    (void)snprintf(store->item[store->n].name, sizeof store->item[0].name, "%s", name);
    store->n++;
    return CX_OK;
}

const void *cx_data_store_get(const cx_data_store *store, const cx_task_family *family,
                              const char *name) {
    for (int i = 0; store && i < store->n; i++)
        if (store->item[i].family == family && strcmp(store->item[i].name, name) == 0)
            return store->item[i].data;
    return NULL;
}

static int open_families(const cx_config *config, cx_data_store *store, cx_error *err) {
    for (int f = 0; f < cx_task_family_count(); f++) {
        const cx_task_family *family = cx_task_family_at(f);
        bool wanted = false;
        for (int i = 0; i < config->n_tasks; i++)
            wanted = wanted || cx_entry_is(config, i, family);
        int rc = wanted && family->open ? family->open(config, store, err) : CX_OK;
        if (rc)
            return rc;
    }
    return CX_OK;
}

int cx_data_store_open(const cx_config *config, cx_data_store **out, cx_error *err) {
    *out = NULL;
    cx_data_store *store = calloc(1, sizeof *store);
    if (!store)
        return cx_fail(err, CX_ENOMEM, "no memory for the data sets");
    int rc = open_families(config, store, err);
    if (rc) {
        cx_data_store_close(store);
        return rc;
    }
    *out = store;
    return CX_OK;
}

void cx_data_store_close(cx_data_store *store) {
    for (int i = 0; store && i < store->n; i++)
        store->item[i].close(store->item[i].data);
    free(store);
}
