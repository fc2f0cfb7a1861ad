declare module "virtual:emergency" {
  const table: import("./places").Table;
  export default table;
}
