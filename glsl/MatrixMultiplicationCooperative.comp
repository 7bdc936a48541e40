// MatrixMultiplication for fp16 operands whose rows are whole chunks of eight elements.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_cooperative_matrix : require
#include "matrixTiles.glsl"
