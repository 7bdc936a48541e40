#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#define MPSVK_BLOCKS
#include "CNNConvolutionForward.glsl"
