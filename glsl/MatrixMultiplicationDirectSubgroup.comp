#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_ballot : require
#define MPSVK_SUBGROUP
#include "MatrixMultiplicationDirect.glsl"
