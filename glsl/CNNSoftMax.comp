// Softmax, one invocation per pixel.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "CNNSoftMaxForward.glsl"
