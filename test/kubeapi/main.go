// Command kubeapi is a small real Kubernetes for tests: an API server, the etcd it keeps its objects in and the controllers that turn
// Deployments into pods, in one process on ports of the kernel's choosing. There are no nodes: pods stay pending until a test plays the
// kubelet. It leaves DIR/kubeconfig, prints "ready", and ends when its standard input does, so that it never outlives who started it.
//
//	kubeapi DIR < pipe
//
// The kubeconfig's user may do everything; whoever presents another token NAME is the user NAME, with the rights that RBAC gives it.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"
	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
)

// users are the tokens that the API server knows: token, name, id, groups.
const users = "admin,admin,admin,\"system:masters\"\nweir,weir,weir\n"

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: kubeapi DIR")
		os.Exit(2)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // until who started it is gone
		cancel()
		os.Exit(0)
	}()
	if err := run(ctx, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string) error {
	klog.SetOutput(os.Stderr)
	etcd, err := startEtcd(filepath.Join(dir, "etcd"))
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	defer etcd.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	port := listener.Addr().(*net.TCPAddr).Port
	completed, err := apiOptions(ctx, dir, listener, etcd.Clients[0].Addr().String())
	if err != nil {
		return fmt.Errorf("API server: %w", err)
	}
	ended := make(chan error, 2)
	go func() { ended <- apiserver.Run(ctx, completed) }()
	client := &rest.Config{Host: fmt.Sprintf("https://127.0.0.1:%d", port), BearerToken: "admin", TLSClientConfig: rest.TLSClientConfig{Insecure: true}, QPS: -1}
	go func() {
		if err := startControllers(ctx, client); err != nil {
			ended <- fmt.Errorf("controllers: %w", err)
			return
		}
		config := fmt.Sprintf(kubeconfig, client.Host)
		if err := os.WriteFile(filepath.Join(dir, "kubeconfig"), []byte(config), 0o600); err != nil {
			ended <- err
			return
		}
		fmt.Println("ready")
	}()
	return <-ended
}

const kubeconfig = `apiVersion: v1
kind: Config
current-context: test
clusters: [{name: test, cluster: {server: "%s", insecure-skip-tls-verify: true}}]
contexts: [{name: test, context: {cluster: test, user: admin}}]
users: [{name: admin, user: {token: admin}}]
`

// startEtcd starts the store; what it holds needs not survive, so it does not wait for the disk.
func startEtcd(dir string) (*embed.Etcd, error) {
	anywhere := []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	c := embed.NewConfig()
	c.Dir, c.LogLevel, c.UnsafeNoFsync, c.EnableGRPCGateway = dir, "error", true, false
	c.ListenClientUrls, c.ListenPeerUrls = anywhere, anywhere
	c.TickMs, c.ElectionMs = 10, 100
	e, err := embed.StartEtcd(c)
	if err != nil {
		return nil, err
	}
	select {
	case <-e.Server.ReadyNotify():
		return e, nil
	case <-time.After(time.Minute):
		return nil, fmt.Errorf("not ready within a minute")
	}
}

// apiOptions are those of an API server on a listener.
func apiOptions(ctx context.Context, dir string, listener net.Listener, etcd string) (options.CompletedOptions, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return options.CompletedOptions{}, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return options.CompletedOptions{}, err
	}
	for name, content := range map[string][]byte{"accounts.pem": pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), "users.csv": []byte(users)} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return options.CompletedOptions{}, err
		}
	}
	s := options.NewServerRunOptions()
	flags := pflag.NewFlagSet("kube-apiserver", pflag.ContinueOnError)
	for _, set := range s.Flags().FlagSets {
		flags.AddFlagSet(set)
	}
	s.SecureServing.Listener = listener
	if err := flags.Parse([]string{
		"--bind-address=127.0.0.1", "--cert-dir=" + filepath.Join(dir, "certs"), fmt.Sprintf("--secure-port=%d", listener.Addr().(*net.TCPAddr).Port),
		"--etcd-servers=http://" + etcd, "--token-auth-file=" + filepath.Join(dir, "users.csv"), "--authorization-mode=RBAC",
		"--service-cluster-ip-range=10.0.0.0/16", "--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + filepath.Join(dir, "accounts.pem"), "--service-account-signing-key-file=" + filepath.Join(dir, "accounts.pem"),
		"--endpoint-reconciler-type=none", "--enable-priority-and-fairness=false",
	}); err != nil {
		return options.CompletedOptions{}, err
	}
	if err := s.GenericServerRunOptions.ComponentGlobalsRegistry.Set(); err != nil {
		return options.CompletedOptions{}, err
	}
	completed, err := s.Complete(ctx)
	if err != nil {
		return completed, err
	}
	for _, err := range completed.Validate() {
		return completed, err
	}
	return completed, nil
}
