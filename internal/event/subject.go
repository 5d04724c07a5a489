package event

import (
	"strconv"
	"strings"
)

// Subject names a thing that facts are about: "kind:id". The zero value is no subject.
type Subject string

// The kinds of subjects.
const (
	KindProject    = "project"    // project:shop
	KindRepo       = "repo"       // repo:shop/web
	KindCommit     = "commit"     // commit:<40 hex>
	KindPull       = "pull"       // pull:shop/web/7
	KindRun        = "run"        // run:2040, a number unique in the installation
	KindJob        = "job"        // job:2040/Build.Test, run and "stage.job"
	KindImage      = "image"      // image:sha256:<64 hex>, the digest of the manifest
	KindSBOM       = "sbom"       // sbom:sha256:…, the digest of the referrer manifest
	KindScan       = "scan"       // scan:<ulid>
	KindSignature  = "signature"  // signature:sha256:…, the digest of the referrer manifest
	KindProvenance = "provenance" // provenance:sha256:…, the digest of the referrer manifest
	KindDecision   = "decision"   // decision:<ulid>
	KindRelease    = "release"    // release:shop/production/48: project, environment, number
	KindPod        = "pod"        // pod:<uid>
	KindAlert      = "alert"      // alert:<ulid>
	KindItem       = "item"       // item:1204
	KindSession    = "session"    // session:<ulid>
	KindUser       = "user"       // user:ada
	KindPool       = "pool"       // pool:default, an agent pool by its name in lower case
)

// Of makes the subject of a kind and an id.
func Of(kind, id string) Subject { return Subject(kind + ":" + id) }

// OfRun makes the subject of a run number.
func OfRun(n int64) Subject { return Of(KindRun, strconv.FormatInt(n, 10)) }

// Kind returns the part before the first colon.
func (s Subject) Kind() string {
	k, _, _ := strings.Cut(string(s), ":")
	return k
}

// ID returns the part after the first colon.
func (s Subject) ID() string {
	_, id, _ := strings.Cut(string(s), ":")
	return id
}

// Link is one edge of the evidence chain, from the event's subject to To.
type Link struct {
	Rel string  `json:"rel"`
	To  Subject `json:"to"`
}

// The relations. Each reads as a sentence: "<subject> <rel> <to>".
const (
	RelBuiltFrom  = "built-from"  // run built-from commit
	RelProducedBy = "produced-by" // image produced-by run
	RelDescribes  = "describes"   // sbom, scan, signature, provenance describes image
	RelDeploys    = "deploys"     // release deploys image
	RelReleasedBy = "released-by" // release released-by run
	RelRunsIn     = "runs"        // pod runs image
	RelPartOf     = "part-of"     // pod part-of release, job part-of run
	RelInto       = "into"        // commit into repo (the push that brought it)
	RelProposes   = "proposes"    // pull proposes commit (its head)
	RelReviews    = "reviews"     // pull reviews commit (the head that somebody judged)
	RelBrought    = "brought"     // pull brought commit (what the target branch points to since the merge)
	RelConcerns   = "concerns"    // alert concerns release or pod; item concerns release, alert, image, run, pull
	RelJudges     = "judges"      // decision judges pull, commit, run, release, image or pod
	RelSuspects   = "suspects"    // item suspects commit
	RelFixedBy    = "fixed-by"    // item fixed-by commit or pull
	RelMentioned  = "mentioned"   // item mentioned by commit or pull (item mentioned commit)
)
