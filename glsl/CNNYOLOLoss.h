// Parameters of CNNYOLOLoss.
#ifndef MPSVK_CNNYOLOLOSS_H
#define MPSVK_CNNYOLOLOSS_H

#include "CNNLoss.h"

MPSVK_SHARED_BEGIN

// The parts of an anchor's channels, in their order.
const uint anchorXY = 0u;
const uint anchorWH = 1u;
const uint anchorConfidence = 2u;
const uint anchorClasses = 3u;

// The loss of one part.
struct MPSVK_ALIGNED CNNYOLOLossPart {
    uint type; // CNNLossType
    float weight;
    float labelScale, labelShift;
    float epsilon;
    float delta;
    float weightNoObject; // of the confidence where there is no object
    uint padding0;
};

struct CNNYOLOLossParameters {
    CNNLossParameters loss; // its lanes, weight, label and element parameters do not count
    CNNYOLOLossPart parts[4];
    uint anchors;
    uint anchorChannels; // 5 + classes
    uint pixels;         // that a workgroup takes at a time
    uint rescores;
    float presence, absence; // intersection over union above, below which there is (no) object
    uint padding0, padding1;
};

MPSVK_SHARED_END

#endif
