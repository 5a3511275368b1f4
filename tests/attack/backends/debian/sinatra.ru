# Sinatra, as its documentation shows it; method override is on, as it is in classic applications.
require 'sinatra/base'
require_relative 'contract'

class Application < Sinatra::Base
  set :environment, :production
  set :protection, false
  set :host_authorization, { permitted_hosts: [] } if respond_to?(:host_authorization)
  enable :method_override if ENV['OVERRIDE']

  def done(operation, path, method = nil)
    report(request, operation, path, method)
  end

  get('/public') { done('public', '/public/') }
  get('/public/*') { done('public', "/public/#{params['splat'].first}") }
  get('/assets/*') { done('assets', "/assets/#{params['splat'].first}") }
  get('/admin') { done('admin', '/admin') }
  post('/admin') { done('admin', '/admin') }
  get('/admin/users') { done('users', '/admin/users') }
  get('/internal') { done('internal', '/internal') }
  get('/optional') { done('optional', '/optional') }
  post('/optional') { done('optional', '/optional') }
  get('/accounts/:number') { done('read_account', "/accounts/#{params['number']}", 'GET') }
  post('/accounts/:number') { done('change_account', "/accounts/#{params['number']}", 'POST') }
  delete('/accounts/:number') { done('delete_account', "/accounts/#{params['number']}", 'DELETE') }
  get('/orgs/:organization/data') { done('organization', "/orgs/#{params['organization']}/data") }
  not_found { done('none', nil) }
end

run Application
