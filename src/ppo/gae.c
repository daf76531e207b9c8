#include "ppo/ppo.h"

void cx_gae(const float *value, int steps, double final_reward, double gamma, double lambda,
            float *advantage, float *target) {
    double a = 0, next = 0; /* of the step after; the value after the end is 0 */
    for (int t = steps - 1; t >= 0; t--) {
        double reward = t == steps - 1 ? final_reward : 0;
        double delta = reward + gamma * next - value[t];
        a = delta + gamma * lambda * a;
        advantage[t] = (float)a;
        target[t] = (float)(a + value[t]);
        next = value[t];
    }
}
