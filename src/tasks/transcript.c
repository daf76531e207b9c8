#include "tasks/transcript.h"

static int likeliest(const float *score, int symbols) {
    int best = 0;
    for (int k = 0; k < symbols; k++) {
        if (score[k] != score[k])
            return 0;
        if (score[k] > score[best])
            best = k;
    }
    return best;
}

int cx_transcript_greedy(const float *scores, size_t stride, int steps, int symbols, uint8_t *out) {
    int count = 0, before = 0;
    for (int t = 0; t < steps; t++, scores += stride) {
        int now = likeliest(scores, symbols);
        if (now != 0 && now != before)
            out[count++] = (uint8_t)now;
        before = now;
    }
    return count;
}

int cx_transcript_distance(const uint8_t *a, int n, const uint8_t *b, int m, int *row) {
    for (int j = 0; j <= m; j++)
        row[j] = j;
    for (int i = 0; i < n; i++) {
        int diagonal = row[0];
        row[0] = i + 1;
        for (int j = 0; j < m; j++) {
            int above = row[j + 1], best = diagonal + (a[i] != b[j]);
            if (above + 1 < best)
                best = above + 1;
            if (row[j] + 1 < best)
                best = row[j] + 1;
            diagonal = above;
            row[j + 1] = best;
        }
    }
    return row[m];
}
