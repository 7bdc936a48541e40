// The elements of one array, as they are or converted between fp32 and fp16, to places of another.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "NDArrayCopy.glsl"
