// Filters as the page keeps them, and as the filter language says them (docs/filters.md).
//
// {column, in: [values]} one of several; {column, from?, to?} a range of numbers or times; {column, like} holds a text;
// {column: "folder", folder} lies in it.

import { clock } from "./format.js";

const quoted = (value) => (typeof value === "string" ? `'${value.replaceAll("'", "''")}'` : String(value));

/** A text inside of a pattern, as it stands. */
const literal = (text) => text.replaceAll("%", "\\%").replaceAll("_", "\\_");

const column = (name) => (/^[A-Za-z_]\w*$/.test(name) ? name : `"${name}"`);

function conditionText(condition) {
  const name = column(condition.column);
  if (condition.in)
    return condition.in.length === 1
      ? `${name} = ${quoted(condition.in[0])}`
      : `${name} in (${condition.in.map(quoted).join(", ")})`;
  if (condition.folder !== undefined) return `key like ${quoted(`${literal(condition.folder)}/%`)}`;
  if (condition.like !== undefined) return `${name} ilike ${quoted(`%${literal(condition.like)}%`)}`;
  const ends = [];
  if (condition.from !== undefined) ends.push(`${name} >= ${quoted(condition.from)}`);
  if (condition.to !== undefined) ends.push(`${name} <= ${quoted(condition.to)}`);
  return ends.join(" and ");
}

/** All conditions as one filter; empty where there are none. */
export const whereText = (conditions) => conditions.map(conditionText).join(" and ");

/** A condition as people read it, for its chip. */
export function conditionTitle(condition) {
  const name = condition.column;
  if (condition.in) return `${name}: ${condition.in.join(", ")}`;
  if (condition.folder !== undefined) return `folder: ${condition.folder}`;
  if (condition.like !== undefined) return `${name} contains “${condition.like}”`;
  const said = (value) => (name === "duration" ? clock(value) : String(value));
  if (condition.from === undefined) return `${name} up to ${said(condition.to)}`;
  if (condition.to === undefined) return `${name} from ${said(condition.from)}`;
  return `${name} ${said(condition.from)} – ${said(condition.to)}`;
}
