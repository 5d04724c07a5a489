// Package identity owns who acts and what they may do: users (argon2id passwords),
// browser sessions, personal tokens with scope and expiry, SSH keys, projects with their
// members' roles, and the issuer of the short-lived JWTs that are the identity of a
// job towards the registry, the API and the Kubernetes API server.
//
// Nouns: Actor (who asks), Credentials (what a request carries), Role (read < write < maintain < admin, per project), Scope
// (what a personal token is cut down to), JobClaims (which job of which run acts).
//
// Invariants.
//   - Secrets are stored as hashes only; comparison is in constant time.
//   - Authorisation is asked with the actor in hand, at the boundary of each domain's
//     service: Service.Require(ctx, actor, project, role). A project that the actor may
//     not read does not exist for them (NotFound, not Denied).
//   - A job token works in its own project only, with the write role, and only while
//     the job runs.
//   - An SSH key belongs to one user or, as a deploy key, to one repository. A deploy key
//     has no role anywhere: Require gives it nothing, and only the Git transport looks at
//     what it opens.
//   - Wrong credentials cost the same time whether the user exists or not, and are
//     limited per user and address; each is recorded as login.failed.
//   - Good credentials are remembered as a hash for seconds only, so that a revocation
//     made by another process of the installation is seen within ten.
//   - The first administrator is made by the system actor; there is no default password.
//
// It imports the standard library, the kernel (clock, fault, store, event, vault) and
// the JOSE and argon2 libraries; no domain.
package identity
