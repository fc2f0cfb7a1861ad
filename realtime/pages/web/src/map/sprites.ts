/**
 * Thousands of moving markers: a canvas of our own over the map. Each marker is a record that the graphics card glides by itself, so
 * that script touches a marker when something about it changes and not once a frame.
 */
import { HIGH_DPR } from "./spriteview";
import { CELL_PX, ICON_GRID, iconSheet, NAME_GRID, NAME_HEIGHT_PX, NAME_SHEET_PX, NAME_WIDTH_PX, nameCorner, NamePen, RING_ALARM, RING_CHOSEN } from "./spriteatlas";
import { RANK, RECORD_BYTES, RECORD_FLOATS } from "./spriterecord";
import { spriteProgram, type Uniforms } from "./spriteshader";
import type { SpriteView } from "./spriteview";
import type { Palette } from "../common/theme";

/** Records of one kind, in memory and on the card; only what changed is handed over. */
class Records {
  data = new Float32Array(256 * RECORD_FLOATS);
  count = 0;
  /** Records handed to the card so far. */
  handed = 0;
  private low = Infinity;
  private high = -1;
  private bufferBytes = 0;
  private buffer: WebGLBuffer | null = null;
  private array: WebGLVertexArrayObject | null = null;

  reserve(count: number): void {
    if (count * RECORD_FLOATS > this.data.length) {
      const bigger = new Float32Array(Math.max(count, this.data.length / RECORD_FLOATS * 2) * RECORD_FLOATS);
      bigger.set(this.data);
      this.data = bigger;
    }
    this.count = count;
  }

  touched(index: number): void {
    this.low = Math.min(this.low, index);
    this.high = Math.max(this.high, index);
  }

  begin(gl: WebGL2RenderingContext): void {
    this.buffer = gl.createBuffer();
    this.array = gl.createVertexArray();
    this.bufferBytes = 0;
    gl.bindVertexArray(this.array);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffer);
    for (let place = 0; place < 4; place += 1) {
      gl.enableVertexAttribArray(place);
      gl.vertexAttribPointer(place, 4, gl.FLOAT, false, RECORD_BYTES, place * 16);
      gl.vertexAttribDivisor(place, 1);
    }
  }

  /** Hands over what changed, and makes these the records that are drawn next. */
  bind(gl: WebGL2RenderingContext): void {
    gl.bindVertexArray(this.array);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffer);
    if (this.bufferBytes !== this.data.byteLength) {
      gl.bufferData(gl.ARRAY_BUFFER, this.data, gl.DYNAMIC_DRAW);
      this.bufferBytes = this.data.byteLength;
      this.handed += this.count;
    } else if (this.high >= this.low) {
      const length = this.high - this.low + 1;
      gl.bufferSubData(gl.ARRAY_BUFFER, this.low * RECORD_BYTES, this.data, this.low * RECORD_FLOATS, length * RECORD_FLOATS);
      this.handed += length;
    }
    this.low = Infinity;
    this.high = -1;
  }
}

export class Sprites {
  readonly canvas = document.createElement("canvas");
  readonly markers = new Records();
  readonly names = new Records();
  private readonly gl: WebGL2RenderingContext;
  private program: WebGLProgram | null = null;
  private uniforms!: Uniforms;
  private iconTexture: WebGLTexture | null = null;
  private nameTexture: WebGLTexture | null = null;
  private readonly pen: NamePen;

  /** `restored`: the card lost everything and is ready again; names have to be written anew. */
  constructor(private palette: Palette, private alarm: string, family: string, private readonly restored: () => void) {
    const gl = this.canvas.getContext("webgl2", { antialias: false, depth: false, stencil: false, premultipliedAlpha: true });
    if (!gl) throw new Error("markers need WebGL 2");
    this.gl = gl;
    this.pen = new NamePen(family);
    this.canvas.addEventListener("webglcontextlost", (event) => {
      event.preventDefault();
      this.program = null;
    });
    this.canvas.addEventListener("webglcontextrestored", () => {
      this.begin();
      this.restored();
    });
    this.begin();
  }

  paint(palette: Palette, alarm: string): void {
    this.palette = palette;
    this.alarm = alarm;
    if (this.program) this.drawIcons();
  }

  resize(width: number, height: number): void {
    const scale = Math.min(HIGH_DPR, window.devicePixelRatio || 1);
    const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
    if (this.canvas.width !== w) this.canvas.width = w;
    if (this.canvas.height !== h) this.canvas.height = h;
  }

  /** Writes a name into a slot; returns how wide it is in CSS pixels. */
  write(slot: number, text: string, faint: boolean): number {
    const { gl } = this;
    const width = this.pen.write(text, this.palette, faint);
    if (!this.program) return width;
    const [x, y] = nameCorner(slot);
    gl.bindTexture(gl.TEXTURE_2D, this.nameTexture);
    gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, true);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, x, y, gl.RGBA, gl.UNSIGNED_BYTE, this.pen.canvas);
    return width;
  }

  draw(view: SpriteView): void {
    const { gl, uniforms: u } = this;
    if (!this.program) return;
    gl.viewport(0, 0, this.canvas.width, this.canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.useProgram(this.program);
    gl.uniform4f(u.eye, ...view.eye);
    gl.uniform2f(u.scale, ...view.scale);
    gl.uniform2f(u.pixel, ...view.pixel);
    gl.uniform1f(u.now, view.nowS);
    this.drawMarkers(view.iconScale);
    this.drawNames();
  }

  private drawMarkers(scale: number): void {
    const { gl, uniforms: u } = this;
    this.markers.bind(gl);
    if (!this.markers.count) return;
    gl.bindTexture(gl.TEXTURE_2D, this.iconTexture);
    gl.uniform1f(u.names, 0);
    for (const rank of [RANK.offline, RANK.stale, RANK.fresh]) this.pass(rank, 0, CELL_PX * scale, 0);
    this.pass(0, 1, CELL_PX, RING_CHOSEN);
    this.pass(0, 2, CELL_PX, RING_ALARM);
    this.pass(RANK.marked, 0, CELL_PX * Math.max(scale, 0.75), 0);
  }

  private pass(rank: number, ring: number, size: number, cell: number): void {
    const { gl, uniforms: u } = this;
    // Icons fill two thirds of their cell: less to paint for a machine that paints without a graphics card.
    const part = ring ? 1 : 0.66;
    gl.uniform1f(u.rank, rank);
    gl.uniform1f(u.ring, ring);
    gl.uniform4f(u.quad, size * part, size * part, 0, 0);
    gl.uniform4f(u.grid, ...ICON_GRID, cell);
    gl.uniform1f(u.part, part);
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, this.markers.count);
  }

  private drawNames(): void {
    const { gl, uniforms: u } = this;
    this.names.bind(gl);
    if (!this.names.count) return;
    gl.bindTexture(gl.TEXTURE_2D, this.nameTexture);
    gl.uniform1f(u.names, 1);
    gl.uniform1f(u.rank, 0);
    gl.uniform1f(u.ring, 0);
    gl.uniform1f(u.part, 1);
    gl.uniform4f(u.quad, NAME_WIDTH_PX, NAME_HEIGHT_PX, 0, 24);
    gl.uniform4f(u.grid, ...NAME_GRID, 0);
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, this.names.count);
  }

  private begin(): void {
    const { gl } = this;
    const made = spriteProgram(gl);
    this.program = made.program;
    this.uniforms = made.uniforms;
    this.markers.begin(gl);
    this.names.begin(gl);
    gl.disable(gl.DEPTH_TEST);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    this.iconTexture = this.texture();
    this.drawIcons();
    this.nameTexture = this.texture();
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, ...NAME_SHEET_PX, 0, gl.RGBA, gl.UNSIGNED_BYTE, null);
  }

  private texture(): WebGLTexture {
    const { gl } = this;
    const texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    for (const side of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, side, gl.CLAMP_TO_EDGE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR);
    return texture;
  }

  private drawIcons(): void {
    const { gl } = this;
    gl.bindTexture(gl.TEXTURE_2D, this.iconTexture);
    gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, true);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, iconSheet(this.palette, this.alarm));
    gl.generateMipmap(gl.TEXTURE_2D);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR);
  }
}
