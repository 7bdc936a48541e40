// What the cross-channel normalization and its gradient have in common.
#ifndef MPSVK_CROSSCHANNEL_GLSL
#define MPSVK_CROSSCHANNEL_GLSL

#include "channelWindow.glsl"
#include "inversePower.glsl"
#include "pixel.glsl"

layout(local_size_x = 256) in;
layout(set = 0, binding = 0) uniform Parameters { TexelGrid grid; CNNCrossChannelNormalizationParameters p; };
IMAGE_SOURCE(1, source)

int sliceCount() { return int((p.source.channels + 3u) / 4u); }
bool isSlice(int slice) { return slice >= 0 && slice < sliceCount(); }

#endif
