/** The program that draws markers: the graphics card glides each one by itself, between two fixes, from the time alone. */
import { HEADING_TURNS } from "./motion";

const VERTEX = `#version 300 es
precision highp float;
layout(location = 0) in vec4 from;     // x and y, then what the floats left over
layout(location = 1) in vec4 to;
layout(location = 2) in vec4 motion;   // start s, duration s, heading, turn
layout(location = 3) in vec4 look;     // cell, rank, rings (1 chosen, 2 alarmed)
uniform vec4 eye;                      // the middle of the map, split like the places
uniform vec2 scale;                    // of the Mercator square to clip space
uniform vec2 pixel;                    // of a CSS pixel to clip space
uniform float now;
uniform float rank;                    // the rank this pass draws
uniform float ring;                    // 0: the icon itself; 1, 2: the ring of those who have it
uniform float names;                   // 1: names, not icons
uniform vec4 quad;                     // width, height, then the offset from the place, all in CSS pixels
uniform float part;                    // how much of a cell, from its middle, the quad shows
uniform vec4 grid;                     // columns of the atlas, part of it a cell covers (x, y), first cell of the pass
out vec2 uv;

vec2 apart(vec4 place) {
  vec2 d = (place.xy - eye.xy) + (place.zw - eye.zw);
  d.x -= floor(d.x + 0.5);
  return d;
}

void main() {
  bool ringed = ring < 0.5 || mod(floor(look.z / ring), 2.0) > 0.5;
  bool wanted = (ring > 0.5 || abs(look.y - rank) < 0.5) && ringed;
  if (!wanted) {
    gl_Position = vec4(2.0, 2.0, 2.0, 1.0);
    return;
  }
  float done = motion.y > 0.0 ? clamp((now - motion.x) / motion.y, 0.0, 1.0) : 1.0;
  vec2 place = mix(apart(from), apart(to), done) * scale;
  vec2 corner = vec2(float(gl_VertexID & 1), float(gl_VertexID >> 1));
  vec2 at = (corner - 0.5) * quad.xy;
  float heading = ring > 0.5 || names > 0.5 ? 0.0 : motion.z + motion.w * min(1.0, done * ${HEADING_TURNS}.0);
  at = mat2(cos(heading), sin(heading), -sin(heading), cos(heading)) * at + quad.zw;
  if (names > 0.5) at = (floor(place / pixel + 0.5) + at - place / pixel);
  float cell = ring > 0.5 ? grid.w : grid.w + look.x;
  uv = (vec2(mod(cell, grid.x), floor(cell / grid.x)) + 0.5 + (corner - 0.5) * part) * grid.yz;
  gl_Position = vec4(place + at * pixel, 0.0, 1.0);
}`;

const FRAGMENT = `#version 300 es
precision mediump float;
in vec2 uv;
uniform sampler2D atlas;
out vec4 colour;
void main() {
  colour = texture(atlas, uv);
}`;

const UNIFORMS = ["eye", "scale", "pixel", "now", "rank", "ring", "names", "quad", "part", "grid", "atlas"] as const;
export type Uniforms = Record<(typeof UNIFORMS)[number], WebGLUniformLocation | null>;

/** Compiles the program. Throws with the driver's words when it cannot. */
export function spriteProgram(gl: WebGL2RenderingContext): { program: WebGLProgram; uniforms: Uniforms } {
  const program = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]] as const) {
    const shader = gl.createShader(kind)!;
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
    throw new Error(gl.getProgramInfoLog(program) ?? "markers cannot be drawn");
  }
  const uniforms = Object.fromEntries(UNIFORMS.map((name) => [name, gl.getUniformLocation(program, name)])) as Uniforms;
  return { program, uniforms };
}
