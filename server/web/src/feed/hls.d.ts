// hls.js without what a silent page has no use for; it brings types only for the whole.
declare module "hls.js/light" {
  export { default } from "hls.js";
}
