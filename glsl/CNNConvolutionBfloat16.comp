#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_cooperative_matrix : require
#define MPSVK_BFLOAT16
#include "CNNConvolutionForward.glsl"
