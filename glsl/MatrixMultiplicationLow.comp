#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#define THREADS_DOWN 8u
#define DOWN 1u
#define ACROSS 1u
#define DEPTH 16u
#include "MatrixMultiplication.glsl"
