"""llama-server for the tests: llama.cpp's own HTTP server as the xllamacpp wheel carries it, with the arguments that Weir gives it."""

import argparse
import signal

import xllamacpp

args = argparse.ArgumentParser()
args.add_argument("--model", required=True)
args.add_argument("--alias", required=True)
args.add_argument("--host", required=True)
args.add_argument("--port", required=True, type=int)
args = args.parse_args()

params = xllamacpp.CommonParams()
params.model.path = args.model
params.model_alias = {args.alias}
params.hostnames = [args.host]
params.port = args.port
params.n_ctx = 512
params.n_parallel = 1
params.cpuparams.n_threads = 1
params.use_jinja = True
server = xllamacpp.Server(params)
print(f"listening on {server.listening_address}", flush=True)
signal.pause()
