package scenario_test

import (
	"fmt"
	"strconv"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	imagerandom "github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/rogpeppe/go-internal/testscript"
)

// image is image push REF [BYTES]|pull REF: a client of another project moves an image.
// The digest is stdout and DIGEST; what the registry refused with is stderr.
func image(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: image push|pull REF")
	}
	ref, err := name.ParseReference(ts.Getenv("HOST")+"/"+args[1], name.Insecure)
	ts.Check(err)
	s := of(ts)
	auth := remote.WithAuth(authn.Anonymous)
	if who := ts.Getenv("AS"); s.tokens[who] != "" {
		auth = remote.WithAuth(&authn.Basic{Username: who, Password: s.tokens[who]})
	}
	var img v1.Image
	switch args[0] {
	case "push":
		size := int64(4096)
		if len(args) > 2 {
			size, err = strconv.ParseInt(args[2], 10, 64)
			ts.Check(err)
		}
		img, err = imagerandom.Image(size, 3)
		ts.Check(err)
		err = remote.Write(ref, img, auth)
	case "pull":
		if img, err = remote.Image(ref, auth); err == nil {
			err = validate.Image(img) // Reads every layer and computes every digest.
		}
	default:
		ts.Fatalf("usage: image push|pull REF")
	}
	if err != nil {
		fmt.Fprintln(ts.Stderr(), err)
		if !neg {
			ts.Fatalf("image %s: %v", args[0], err)
		}
		return
	}
	if neg {
		ts.Fatalf("image %s succeeded", args[0])
	}
	digest, err := img.Digest()
	ts.Check(err)
	ts.Setenv("DIGEST", digest.String())
	fmt.Fprintln(ts.Stdout(), digest)
}
