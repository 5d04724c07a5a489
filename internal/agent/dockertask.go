package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"towpath.dev/towpath/internal/pipeline/plan"
)

// runDocker is Docker@2. The server builds and keeps images, and pushes them; the build
// context goes there as a tar whose root is the context, and Dockerfile is then its path in
// the tar. What needs an engine runs the program docker of this host.
func runDocker(ctx context.Context, s *stepRun) error {
	command := s.input("command")
	if command == "" {
		command = "buildAndPush"
	}
	s.noted = []byte{}
	var err error
	switch strings.ToLower(command) {
	case "login":
		err = s.dockerLogin(ctx)
	case "logout":
		err = s.dockerLogout(ctx)
	case "build", "buildandpush":
		err = s.dockerBuild(ctx, command)
	case "push":
		var auths string
		if auths, err = s.dockerAuths(); err == nil {
			err = s.remote(ctx, map[string]string{"command": command, "auths": auths}, nil)
		}
	default:
		err = s.dockerEngine(ctx, command)
	}
	if err != nil {
		return err
	}
	return s.dockerOutput(strings.ToLower(command))
}

// maxNoted bounds what is kept of the output of a task.
const maxNoted = 4 << 20

// note keeps a line that a task says, if the task wants it.
func (s *stepRun) note(line []byte) {
	if s.noted != nil && len(s.noted)+len(line) < maxNoted {
		s.noted = append(append(s.noted, s.masker.String(string(line))...), '\n')
	}
}

// dockerOutput sets DockerOutput: the path of a file with what the command said, and for
// buildAndPush those of two, on two lines.
func (s *stepRun) dockerOutput(command string) error {
	if command == "login" || command == "logout" {
		return nil
	}
	names := []string{command}
	if command == "buildandpush" {
		names = []string{"build", "push"}
	}
	var paths []string
	dir := path.Join(dirTemp, "task_outputs")
	if err := s.space.mkdirAll(dir); err != nil {
		return fmt.Errorf("writing the output of docker: %w", err)
	}
	for _, name := range names {
		at := path.Join(dir, fmt.Sprintf("%s_%d.txt", strings.Map(inFileName, name), s.step.Number))
		// An earlier attempt may have left its file.
		_ = s.space.root.Remove(at)
		if err := s.space.write(at, s.noted, 0o644); err != nil {
			return fmt.Errorf("writing the output of docker: %w", err)
		}
		paths = append(paths, s.space.path(at))
	}
	v := plan.Value{Name: "DockerOutput", Text: strings.Join(paths, "\n")}
	s.vars.Set(v)
	s.setOutput(s.outputName(), v.Name, v)
	return nil
}

// inFileName leaves what a name of a file may have.
func inFileName(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
		return r
	}
	return '_'
}

func (s *stepRun) dockerBuild(ctx context.Context, command string) error {
	dockerfile, err := s.findDockerfile()
	if err != nil {
		return err
	}
	contextDir := path.Dir(dockerfile)
	if c := s.input("buildContext"); c != "" && c != "**" {
		if contextDir, err = s.space.inside(s.space.path(dirSources), c); err != nil {
			return err
		}
	}
	files, name, err := s.buildContext(contextDir, dockerfile)
	if err != nil {
		return err
	}
	inputs := map[string]string{"command": command, "Dockerfile": name}
	if inputs["auths"], err = s.dockerAuths(); err != nil {
		return err
	}
	labels, err := json.Marshal(s.imageLabels())
	if err != nil {
		return err
	}
	inputs["labels"] = string(labels)
	if s.flag("addBaseImageData", true) {
		inputs["baseImage"] = s.baseImage(dockerfile)
	}
	s.print(fmt.Sprintf("Sending the build context %s: %d files", contextDir, len(files)))
	return s.remote(ctx, inputs, files)
}

// labelled are the variables that images are labelled with; some also without addPipelineData.
var labelled = []struct {
	variable string
	always   bool
}{
	{"System.TeamFoundationCollectionUri", true}, {"Build.SourceVersion", true}, {"System.TeamProject", false}, {"Build.Repository.Name", false},
	{"Build.Repository.Uri", false}, {"Build.SourceBranchName", false}, {"Build.DefinitionName", false}, {"Build.BuildNumber", false}, {"Build.BuildUri", false},
}

// labelPrefix begins the labels of the task. It is the host of the service backwards; tools
// look for these names, so they are the same here.
const labelPrefix = "com.azure.dev.image."

// imageLabels are the labels that the task adds by itself.
func (s *stepRun) imageLabels() map[string]string {
	out := map[string]string{}
	all := s.flag("addPipelineData", true)
	for _, l := range labelled {
		if v, ok := s.vars.Get(l.variable); ok && v.Text != "" && !v.Secret && (all || l.always) {
			out[labelPrefix+strings.ToLower(l.variable)] = v.Text
		}
	}
	return out
}

// dockerEngine has the engine of this host start or stop a container, or run another command
// of docker, which the task allows.
func (s *stepRun) dockerEngine(ctx context.Context, command string) error {
	words, err := splitArguments(strings.ReplaceAll(s.input("arguments"), "\n", " "))
	if err != nil {
		return err
	}
	command = strings.TrimSpace(command)
	argv := append([]string{command}, words...)
	if lower := strings.ToLower(command); lower == "start" || lower == "stop" {
		name := strings.TrimSpace(s.input("container"))
		if name == "" || strings.HasPrefix(name, "-") {
			return fmt.Errorf("the command %s of Docker@2 needs the input container, the name of one", command)
		}
		argv = append([]string{lower, name}, words...)
	}
	if strings.HasPrefix(command, "-") {
		return fmt.Errorf("%q is no command of docker", command)
	}
	env := s.environment()
	program := lookPath("docker", env)
	if program == "" {
		return fmt.Errorf("the command %s of Docker@2 needs a Docker engine, and the agent has no program docker; "+
			"run the job on an agent that has one (demands: docker), or use build, push, buildAndPush, login and logout, which need none", command)
	}
	s.print("##[command]" + program + " " + strings.Join(argv, " "))
	exit, err := s.process(ctx, s.space.path(dirSources), env, append([]string{program}, argv...), func(lines [][]byte) {
		for _, l := range lines {
			s.note(l)
		}
		// What docker prints is no logging command, whatever a container says.
		s.lines(lines)
	}, nil)
	return exitError("docker "+command, exit, err)
}
