# Rack without a framework: what PATH_INFO says, decoded.
require 'rack'
require_relative 'contract'

run(lambda do |env|
  request = Rack::Request.new(env)
  path = Rack::Utils.unescape_path(request.path_info)
  method = request.request_method.sub('HEAD', 'GET')
  operation =
    case [method, path]
    in ['GET' | 'POST', '/admin'] then 'admin'
    in ['GET', '/admin/users' | '/internal'] then path
    in ['GET' | 'POST', '/optional'] then 'optional'
    in ['GET' | 'POST' | 'DELETE', %r{\A/accounts/[^/]+\z}] then 'account'
    in ['GET', %r{\A/(public|assets|orgs)(/|\z)}] then 'below'
    else 'none'
    end
  [200, { 'Content-Type' => 'application/json' }, [report(request, operation, operation == 'none' ? nil : path, method)]]
end)
