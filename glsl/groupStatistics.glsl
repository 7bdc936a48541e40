// From the means and sums of squares of channels to those of the groups.
#ifndef MPSVK_GROUPSTATISTICS_GLSL
#define MPSVK_GROUPSTATISTICS_GLSL

// Declares a function that gives, for each channel of a slice, its group's mean and
// 1 / sqrt(variance + epsilon). MEAN(i) and SQUARES(i) are those of a channel over `pixels` pixels,
// `base` + the channel being i. Of equal means exactly that mean.
#define GROUP_STATISTICS(NAME, MEAN, SQUARES)                                                      \
    void NAME(uint base, uint slice, uint channels, uint groupChannels, float pixels,              \
              float epsilon, out vec4 means, out vec4 inverses) {                                  \
        float mean = 0.0, inverse = 0.0;                                                           \
        uint known = 0xffffffffu;                                                                  \
        means = inverses = vec4(0.0);                                                              \
        for (uint lane = 0u; lane < 4u; ++lane) {                                                  \
            uint channel = slice * 4u + lane;                                                      \
            if (channel >= channels) break;                                                        \
            uint group = channel / groupChannels;                                                  \
            if (group != known) {                                                                  \
                uint first = base + group * groupChannels;                                         \
                float origin = MEAN(first), sum = 0.0, squares = 0.0;                              \
                for (uint i = first; i < first + groupChannels; ++i) sum += MEAN(i) - origin;      \
                mean = origin + sum / float(groupChannels);                                        \
                for (uint i = first; i < first + groupChannels; ++i) {                             \
                    float distance = MEAN(i) - mean;                                               \
                    squares += SQUARES(i) + distance * distance * pixels;                          \
                }                                                                                  \
                inverse = inversesqrt(squares / (pixels * float(groupChannels)) + epsilon);        \
                known = group;                                                                     \
            }                                                                                      \
            means[lane] = mean;                                                                    \
            inverses[lane] = inverse;                                                              \
        }                                                                                          \
    }

#endif
