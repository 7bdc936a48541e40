// The same where an array of indices gives the source's coordinate along one dimension.
#version 450
#extension GL_GOOGLE_include_directive : require
#define ND_GATHER
#include "NDArrayCopy.glsl"
