// Package webtest holds the services of a small installation in memory, for tests of the
// pages: a project "shop" with changes in every state, runs with a log, images with
// findings, environments with releases, pull requests in every state, rulesets, blocked
// secrets, policies with decisions. Nothing of it is part of the product.
//
// The services keep the rules that the pages rely on: "ada" may do everything in shop,
// "bob" may read it, "eve" may see nothing. It imports the domains' value types and the
// kernel.
package webtest
