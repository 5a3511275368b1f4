# What every backend in Ruby reports: one line of JSON for each operation that it executed, in the file EXECUTIONS.
require 'json'

LOG = File.open(ENV.fetch('EXECUTIONS'), 'a')
LOG.sync = true

# Every text in what a framework gives for one name.
def as_list(value)
  case value
  when nil then []
  when Array then value.flat_map { |item| as_list(item) }
  when Hash then value.values.flat_map { |item| as_list(item) }
  else [value.to_s.dup.force_encoding('UTF-8').scrub('?')]
  end
end

def report(request, operation, path, method = nil)
  header = ->(name) { as_list(request.env["HTTP_#{name.upcase.tr('-', '_')}"]) }
  execution = {
    attempt: header.('x-attempt').first.to_s,
    operation: operation,
    path: path && as_list(path).first,
    method: (method || request.request_method).sub('HEAD', 'GET'),
    host: as_list(request.host_with_port).first.to_s,
    virtual_host: header.('x-virtual-host'),
    user: header.('x-user-id'),
    groups: header.('x-groups'),
    authorization: header.('authorization'),
    param: as_list(request.GET['access_token']),
    cookie: as_list(request.cookies['access_token'])
  }
  line = JSON.generate(execution)
  LOG.syswrite("#{line}\n")
  line
end
