// What the cross-channel normalization and its gradient have in common.
#ifndef MPSVK_CROSSCHANNEL_GLSL
#define MPSVK_CROSSCHANNEL_GLSL

layout(local_size_x = 256) in;
#include "channelWindow.glsl"
#include "inversePower.glsl"
#include "pixel.glsl"

layout(set = 0, binding = 0) uniform Parameters { TexelGrid grid; CNNCrossChannelNormalizationParameters p; };
IMAGE_SOURCE(1, source)

// Channels of the window on either side of its centre, and beta: constants, for there are few of them.
layout(constant_id = 34) const int before = 0;
layout(constant_id = 35) const int after = 0;
layout(constant_id = 36) const uint betaWhole = 0u; // beta = betaWhole + betaQuarters / 4 or + betaRest
layout(constant_id = 37) const uint betaQuarters = 0u;

Place at;

// Slices count from the invocation's first.
bool isSlice(int slice) {
    slice += int(at.slice);
    return slice >= 0 && slice < int((p.source.channels + 3u) / 4u);
}

#endif
