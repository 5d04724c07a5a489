// Package pull owns pull requests and what is said about commits: proposing a branch for
// another, talking about its lines, reviews, checks, the gate before a merge, and the
// merge itself.
//
// Nouns. A Pull proposes the commits of a source branch for a target branch of the same
// repository; its number counts in the repository. The head is the commit that it
// proposes, the base the merge base of head and target, the test merge what would come
// out. A Review judges one head against one base and target. A Thread is a conversation,
// on a line of a file or on the whole. A Check is what somebody reports about a commit. A
// Gate is everything that stands between a pull request and its merge, each Block with
// its reason, the next step, and who can release it.
//
// Invariants.
//   - What a branch demands, its code owners included, is read from the target branch;
//     nothing of the head decides about the head.
//   - The gate is evaluated anew at each question from the refs as they are: an approval
//     counts for a head, base and target, so that neither a push nor another target
//     carries it over to something that nobody saw.
//   - Nobody approves his own pull request, nor for the count what he pushed last. Only a
//     person's approval counts, and only while he holds the role write.
//   - A check counts as reported by whoever reported it; a pinned check by nobody else.
//   - A merge goes through the same door as a push: its guards judge it again.
//   - A merge is noted before the target moves: whatever crashes in between, the pull
//     request is found merged afterwards, once.
//
// It imports the kernel and package source with its parts git, hook, ruleset and owners;
// no other domain.
package pull
