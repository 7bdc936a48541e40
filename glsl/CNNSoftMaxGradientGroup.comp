// Softmax gradient of many channels, one workgroup per pixel.
#version 450
#extension GL_GOOGLE_include_directive : require
#define GROUP_PER_PIXEL
#include "CNNSoftMaxBackward.glsl"
