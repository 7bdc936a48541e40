// What the two ways to the gradient of a group normalization have in common.
#ifndef MPSVK_GROUPNORMALIZATIONGRADIENT_GLSL
#define MPSVK_GROUPNORMALIZATIONGRADIENT_GLSL

// Declares a function that gives, for each channel of a slice, its group's means of gamma*dy and
// gamma*dy*x^. GAMMA(i) and BETA(i) are the sums over the pixels, times gamma, of dy*x^ and of dy of
// a channel, `base` + the channel being i.
#define GROUP_TERMS(NAME, GAMMA, BETA)                                                             \
    void NAME(uint base, uint slice, uint channels, uint groupChannels, float elements,            \
              out vec4 means, out vec4 slopes) {                                                   \
        float mean = 0.0, slope = 0.0;                                                             \
        uint known = 0xffffffffu;                                                                  \
        means = slopes = vec4(0.0);                                                                \
        for (uint lane = 0u; lane < 4u; ++lane) {                                                  \
            uint channel = slice * 4u + lane;                                                      \
            if (channel >= channels) break;                                                        \
            uint group = channel / groupChannels;                                                  \
            if (group != known) {                                                                  \
                uint first = base + group * groupChannels;                                         \
                mean = slope = 0.0;                                                                \
                for (uint i = first; i < first + groupChannels; ++i) {                             \
                    mean += BETA(i);                                                               \
                    slope += GAMMA(i);                                                             \
                }                                                                                  \
                mean /= elements;                                                                  \
                slope /= elements;                                                                 \
                known = group;                                                                     \
            }                                                                                      \
            means[lane] = mean;                                                                    \
            slopes[lane] = slope;                                                                  \
        }                                                                                          \
    }

// A channel of a single element has h = mean exactly, whatever the deviation: no fused operations.
vec4 sourceGradient(vec4 dy, vec4 x, vec4 gamma, vec4 mean, vec4 inverse, vec4 meanTerm, vec4 slopeTerm) {
    precise vec4 h = gamma * dy;
    precise vec4 centred = h - meanTerm;
    return inverse * (centred - (x - mean) * inverse * slopeTerm);
}

bool inRegion(CNNGroupNormalizationGradientParameters p, int x, int y) {
    return x >= p.regionX && y >= p.regionY && x < p.regionX + int(p.regionWidth) &&
           y < p.regionY + int(p.regionHeight);
}

#endif
