// MatrixMultiplication in reduced precision, for aligned operands whose rows are whole chunks of four.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_cooperative_matrix : require
#define MPSVK_BFLOAT16
#include "matrixTiles.glsl"
