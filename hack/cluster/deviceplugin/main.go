// A device plugin whose devices are made up: it lets the real kubelet count GPUs and network cards
// that this machine does not have, and take one away when a test says that it broke.
//
//	deviceplugin -dir DIR -faults FILE nvidia.com/gpu=8 rdma/hca_shared_devices_a=8
//
// DIR is the kubelet's folder for device plugins. FILE lists broken devices, one "RESOURCE NUMBER" a line,
// and is read again all the time.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

const pause = 250 * time.Millisecond

// plugin serves one resource.
type plugin struct {
	api.UnimplementedDevicePluginServer
	resource string
	count    int
	dir      string
	faults   string
}

func main() {
	dir := flag.String("dir", api.DevicePluginPath, "the kubelet's folder for device plugins")
	faults := flag.String("faults", "", "file that lists broken devices")
	flag.Parse()
	for _, argument := range flag.Args() {
		resource, number, found := strings.Cut(argument, "=")
		count, err := strconv.Atoi(number)
		if !found || err != nil || count < 1 {
			log.Fatalf("%q is not RESOURCE=COUNT", argument)
		}
		one := &plugin{resource: resource, count: count, dir: *dir, faults: *faults}
		go one.run()
	}
	select {}
}

// run serves and registers, again and again: a kubelet that starts empties its folder and forgets everybody.
func (p *plugin) run() {
	for {
		if err := p.serve(); err != nil {
			log.Printf("%s: %v", p.resource, err)
		}
		time.Sleep(pause)
	}
}

// serve registers with the kubelet and returns once the kubelet has removed the socket.
func (p *plugin) serve() error {
	name := strings.ReplaceAll(p.resource, "/", "-") + ".sock"
	path := filepath.Join(p.dir, name)
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	api.RegisterDevicePluginServer(server, p)
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()
	if err := p.register(name); err != nil {
		return err
	}
	log.Printf("%s: registered %d devices", p.resource, p.count)
	for {
		if _, err := os.Lstat(path); err != nil {
			return fmt.Errorf("the kubelet has started anew")
		}
		time.Sleep(pause)
	}
}

func (p *plugin) register(name string) error {
	connection, err := grpc.NewClient(
		"unix://"+filepath.Join(p.dir, "kubelet.sock"),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
	)
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	request := &api.RegisterRequest{Version: api.Version, Endpoint: name, ResourceName: p.resource}
	_, err = api.NewRegistrationClient(connection).Register(ctx, request)
	return err
}

// GetDevicePluginOptions says that the plugin wants no further calls.
func (p *plugin) GetDevicePluginOptions(context.Context, *api.Empty) (*api.DevicePluginOptions, error) {
	return &api.DevicePluginOptions{}, nil
}

// ListAndWatch sends all devices, and all again whenever one broke or healed.
func (p *plugin) ListAndWatch(_ *api.Empty, stream api.DevicePlugin_ListAndWatchServer) error {
	var broken []int
	for first := true; stream.Context().Err() == nil; first = false {
		now := p.broken()
		if first || !slices.Equal(now, broken) {
			broken = now
			if err := stream.Send(&api.ListAndWatchResponse{Devices: p.devices(broken)}); err != nil {
				return err
			}
		}
		time.Sleep(pause)
	}
	return nil
}

// Allocate tells the container which devices are its own.
func (p *plugin) Allocate(_ context.Context, request *api.AllocateRequest) (*api.AllocateResponse, error) {
	answer := &api.AllocateResponse{}
	for _, container := range request.ContainerRequests {
		one := &api.ContainerAllocateResponse{}
		if strings.HasPrefix(p.resource, "nvidia.com/") {
			one.Envs = map[string]string{"NVIDIA_VISIBLE_DEVICES": strings.Join(container.DevicesIds, ",")}
		}
		answer.ContainerResponses = append(answer.ContainerResponses, one)
	}
	return answer, nil
}

func (p *plugin) devices(broken []int) []*api.Device {
	var all []*api.Device
	for number := range p.count {
		health := api.Healthy
		if slices.Contains(broken, number) {
			health = api.Unhealthy
		}
		all = append(all, &api.Device{ID: strconv.Itoa(number), Health: health})
	}
	return all
}

// broken reads the numbers of this resource's broken devices; no file means none.
func (p *plugin) broken() []int {
	file, err := os.Open(p.faults)
	if err != nil {
		return nil
	}
	defer file.Close()
	var numbers []int
	for lines := bufio.NewScanner(file); lines.Scan(); {
		resource, number, _ := strings.Cut(lines.Text(), " ")
		if value, err := strconv.Atoi(number); err == nil && resource == p.resource {
			numbers = append(numbers, value)
		}
	}
	slices.Sort(numbers)
	return numbers
}
