// Parameters of glsl/ChannelPairCopy.comp.
#ifndef MPSVK_CHANNELPAIRCOPY_H
#define MPSVK_CHANNELPAIRCOPY_H

#include "types.h"

MPSVK_SHARED_BEGIN

struct ChannelPairCopyParameters {
    uint channels;
    uint sourceOffset0, sourceOffset1; // of the first elements, in floats
    uint destinationOffset0, destinationOffset1;
};

MPSVK_SHARED_END

#endif
